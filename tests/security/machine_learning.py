"""The rules about workspaces and computes: Azure Policy's category Machine Learning, PSRule's, Checkov's."""

from __future__ import annotations

from tests.security.rules import CHECKOV, CLUSTER, INSTANCE, POLICY, PSRULE, Body, Rule, Template, equals, given, same

WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
COMPUTE = f"{WORKSPACE}/computes"
ENDPOINT = "Microsoft.Network/privateEndpoints"
STORAGE = "Microsoft.Storage/storageAccounts"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"


def led_to(body: Body, template: Template) -> bool:
    """Whether a private endpoint leads to it; one of the same tenant is approved at once, as the service then says."""
    return any(
        isinstance(link, dict)
        and Body({**link, "type": "", "name": ""}).at("properties.privateLinkServiceId") == body.id
        for endpoint in template.typed(ENDPOINT)
        for link in endpoint.items("properties.privateLinkServiceConnections")
    )


def named(body: Body, template: Template) -> bool:
    """Whether a workspace's endpoint is in a private DNS zone; endpoints to other things are none of the rule's."""
    links = [item for item in body.items("properties.privateLinkServiceConnections") if isinstance(item, dict)]
    groups = [Body({**item, "type": "", "name": ""}).items("properties.groupIds") for item in links]
    if not any("amlworkspace" in found for found in groups):
        return True
    return any(zone.name.partition("/")[0] == body.name for zone in template.typed(f"{ENDPOINT}/privateDnsZoneGroups"))


def logged(body: Body, template: Template, *, to: str = "") -> bool:
    """Whether a diagnostic setting sends some of its logs somewhere, or to `to`, a property of the setting."""
    settings = [item for item in template.typed(DIAGNOSTICS) if item.at("scope") == body.id]
    return any(
        (not to or bool(item.at(f"properties.{to}")))
        and any(isinstance(log, dict) and log.get("enabled") is True for log in item.items("properties.logs"))
        for item in settings
    )


def managed_endpoint(body: Body, _: Template) -> bool:
    """CKV_AZURE_243, which in fact looks for an outbound rule of type PrivateEndpoint."""
    rules = body.at("properties.managedNetwork.outboundRules")
    found = rules.values() if isinstance(rules, dict) else []
    return any(isinstance(rule, dict) and rule.get("type") == "PrivateEndpoint" for rule in found)


def closed_storage(body: Body, template: Template) -> bool:
    """CKV2_AZURE_50: sensitive data lies in storage that is closed to the public network."""
    if body.at("properties.hbiWorkspace") is not True:
        return True
    mine = [item for item in template.typed(STORAGE) if item.id == body.at("properties.storageAccount")]
    return any(item.at("properties.publicNetworkAccess") == "Disabled" for item in mine)


def own_identity(body: Body, template: Template) -> bool:
    """AZR-000407."""
    only = body.at("identity.type") == "UserAssigned" and body.at("identity.userAssignedIdentities") is not None
    return only and given("properties.primaryUserAssignedIdentity")(body, template)


def private(body: Body, _: Template) -> bool:
    """AZR-000406; the first member is absent, or false."""
    behind = body.at("properties.allowPublicAccessWhenBehindVnet")
    return behind in (None, False) and body.at("properties.publicNetworkAccess") == "Disabled"


def current(body: Body, _: Template) -> bool:
    """f110a506: the service writes it into a running instance; what a stack asks for can't break it."""
    return not same(body.at("properties.properties.osImageMetadata.isLatestOsImageVersion"), "false")


NODES = (CLUSTER, INSTANCE)
CLOSED = equals("properties.publicNetworkAccess", "Disabled")
CMK = equals("properties.encryption.status", "Enabled")
NO_LOCAL = equals("properties.disableLocalAuth", "true")
SUBNET = given("properties.properties.subnet.id")
IDLE = given("properties.properties.idleTimeBeforeShutdown")

RULES = (
    Rule("438c38d2", POLICY, "Audit, Deny", "public network access is off", WORKSPACE, CLOSED),
    Rule("a10ee784", POLICY, "Modify", "the same; turns it off", WORKSPACE, CLOSED),
    Rule("45e05259", POLICY, "Audit", "an approved private endpoint", WORKSPACE, led_to),
    Rule("40cec1dd", POLICY, "Audit, Deny", "the same (deprecated)", WORKSPACE, led_to),
    Rule("7838fd83", POLICY, "DeployIfNotExists", "the same; makes one", WORKSPACE, led_to),
    Rule("ee40564d", POLICY, "DeployIfNotExists", "a workspace's endpoint has a private DNS zone", ENDPOINT, named),
    Rule("ba769a63", POLICY, "Audit, Deny", "encrypted with the customer's key", WORKSPACE, CMK),
    Rule("7f40cee6", POLICY, "AuditIfNotExists", "the same", WORKSPACE, CMK),
    Rule(
        "5f0c7d88", POLICY, "Audit, Deny", "acts as a user-assigned identity", WORKSPACE,
        given("properties.primaryUserAssignedIdentity"),
    ),
    Rule(
        "e413671a", POLICY, "Audit, Deny", "v1 legacy mode is on", WORKSPACE,
        equals("properties.v1LegacyMode", "true"),
    ),
    Rule(
        "6ddb1705", POLICY, "Audit, Deny", "managed network, approved outbound only", WORKSPACE,
        equals("properties.managedNetwork.isolationMode", "AllowOnlyApprovedOutbound"),
    ),
    Rule("afe0c3be", POLICY, "AuditIfNotExists", "resource logs are on", WORKSPACE, logged),
    Rule(
        "f59276f0", POLICY, "DeployIfNotExists", "resource logs go to Log Analytics; makes the setting", WORKSPACE,
        lambda body, template: logged(body, template, to="workspaceId"),
    ),
    Rule("e96a9a5f", POLICY, "Audit, Deny", "no keys or passwords on nodes", COMPUTE, NO_LOCAL, NODES),
    Rule("a6f9a2d0", POLICY, "Modify", "the same, of every compute; turns it off", COMPUTE, NO_LOCAL),
    Rule("7804b5c7", POLICY, "Audit", "in a subnet", COMPUTE, SUBNET, NODES),
    Rule("679ddf89", POLICY, "Audit, Deny", "shuts down when idle", COMPUTE, IDLE, (INSTANCE,)),
    Rule("f110a506", POLICY, "Audit", "runs the latest image, as the service says", COMPUTE, current, (INSTANCE,)),
    Rule("AZR-000403", PSRULE, "Error", "shuts down when idle", COMPUTE, IDLE, (INSTANCE,)),
    Rule("AZR-000404", PSRULE, "Error", "no keys or passwords, of every compute", COMPUTE, NO_LOCAL),
    Rule("AZR-000405", PSRULE, "Error", "in a subnet, every compute", COMPUTE, SUBNET),
    Rule("AZR-000406", PSRULE, "Error", "public network access is off", WORKSPACE, private),
    Rule("AZR-000407", PSRULE, "Error", "user-assigned identities only", WORKSPACE, own_identity),
    Rule("CKV_AZURE_142", CHECKOV, "Terraform", "no keys or passwords on nodes", COMPUTE, NO_LOCAL, (CLUSTER,)),
    Rule("CKV_AZURE_144", CHECKOV, "Terraform", "public network access is off", WORKSPACE, CLOSED),
    Rule(
        "CKV_AZURE_150", CHECKOV, "Terraform", "min nodes is 0", COMPUTE,
        equals("properties.properties.scaleSettings.minNodeCount", "0"), (CLUSTER,),
    ),
    Rule("CKV_AZURE_243", CHECKOV, "ARM", "a private endpoint of the managed network", WORKSPACE, managed_endpoint),
    Rule(
        "CKV2_AZURE_49", CHECKOV, "ARM", "public network access is off or absent", WORKSPACE,
        lambda body, _: body.at("properties.publicNetworkAccess") in (None, "Disabled"),
    ),
    Rule("CKV2_AZURE_50", CHECKOV, "Terraform", "an HBI workspace's storage is not public", WORKSPACE, closed_storage),
)  # fmt: skip
