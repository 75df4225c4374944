"""The rules about what stands beside a workspace: storage, key vault, registry, machines, security groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.security.machine_learning import STORAGE, led_to
from tests.security.rules import CHECKOV, POLICY, Body, Rule, Template, equals, same

if TYPE_CHECKING:
    from emulator.routing import Json

VAULT = "Microsoft.KeyVault/vaults"
REGISTRY = "Microsoft.ContainerRegistry/registries"
MACHINE = "Microsoft.Compute/virtualMachines"
GROUP = "Microsoft.Network/networkSecurityGroups"
INTERNET = {"*", "0.0.0.0", "internet", "any"}  # noqa: S104 - Checkov's list of sources; nothing is bound
LINUX = "properties.osProfile.linuxConfiguration"
PAID_TIERS = ("Standard", "Premium")
COPIED = ("Standard_GRS", "Standard_RAGRS", "Standard_GZRS", "Standard_RAGZRS")


def no_addresses(body: Body, _: Template) -> bool:
    """2a1a9cdf: refuses by default, and lets no single addresses in."""
    denied = same(body.at("properties.networkAcls.defaultAction"), "Deny")
    return denied and not body.items("properties.networkAcls.ipRules")


def services_pass(body: Body, _: Template) -> bool:
    """CKV_AZURE_36: Azure's own services pass the firewall; also when it lets everybody pass."""
    acls = body.at("properties.networkAcls")
    if not isinstance(acls, dict) or "defaultAction" not in acls:
        return False
    return acls["defaultAction"] == "Allow" or acls.get("bypass") == "AzureServices"


def vault_closed(body: Body, _: Template) -> bool:
    """CKV_AZURE_189: closed, or open to named addresses."""
    return same(body.at("properties.publicNetworkAccess"), "disabled") or bool(
        body.items("properties.networkAcls.ipRules")
    )


def nobody_pulls(body: Body, _: Template) -> bool:
    """CKV_AZURE_138: no image is pulled without a name; the cheapest tier can't allow it."""
    return body.at("sku.name") not in PAID_TIERS or not body.at("properties.anonymousPullEnabled")


def has_keys(body: Body, _: Template) -> bool:
    """CKV_AZURE_178."""
    first = next(iter(body.items(f"{LINUX}.ssh.publicKeys")), None)
    return isinstance(first, dict) and bool(first.get("path"))


def no_ssh(body: Body, _: Template) -> bool:
    """CKV_AZURE_10, and stricter: any range that ends in /0, and the tag Internet as Azure writes it, are found too."""
    return not any(_opens_ssh(rule) for rule in body.items("properties.securityRules"))


def _opens_ssh(rule: Json) -> bool:
    if not isinstance(rule, dict):
        return False
    at = Body({**rule, "type": "", "name": ""})
    passes = same(at.at("properties.access"), "Allow") and same(at.at("properties.direction"), "Inbound")
    by_tcp = str(at.at("properties.protocol")).lower() in {"tcp", "*"}
    ports = [at.at("properties.destinationPortRange"), *at.items("properties.destinationPortRanges")]
    sources = [at.at("properties.sourceAddressPrefix"), *at.items("properties.sourceAddressPrefixes")]
    anyone = any(str(item).lower() in INTERNET or str(item).endswith("/0") for item in sources if item)
    return passes and by_tcp and anyone and any(_has_ssh(str(item)) for item in ports if item)


def _has_ssh(ports: str) -> bool:
    if found := re.fullmatch(r"(\d+)-(\d+)", ports):
        return int(found[1]) <= 22 <= int(found[2])
    return ports in {"22", "*"}


KEYS_ONLY = equals(f"{LINUX}.disablePasswordAuthentication", "true")

RULES = (
    Rule(
        "8c6a50c6", POLICY, "Audit, Deny", "no shared keys", STORAGE,
        lambda body, _: not same(body.at("properties.allowSharedKeyAccess"), "true"),
    ),
    Rule(
        "4fa4b6c0", POLICY, "Audit, Deny", "no public blobs", STORAGE,
        equals("properties.allowBlobPublicAccess", "false"),
    ),
    Rule(
        "b2982f36", POLICY, "Audit, Deny", "public network access is off", STORAGE,
        equals("properties.publicNetworkAccess", "Disabled"),
    ),
    Rule("2a1a9cdf", POLICY, "Audit, Deny", "denies by default, no address rules", STORAGE, no_addresses),
    Rule("fe83a0eb", POLICY, "Audit, Deny", "TLS 1.2", STORAGE, equals("properties.minimumTlsVersion", "TLS1_2")),
    Rule("6edd7eda", POLICY, "AuditIfNotExists", "a private endpoint", STORAGE, led_to),
    Rule(
        "6fac406b", POLICY, "Audit", "encrypted with the customer's key", STORAGE,
        equals("properties.encryption.keySource", "Microsoft.Keyvault"),
    ),
    Rule(
        "CKV_AZURE_3", CHECKOV, "ARM", "HTTPS only", STORAGE,
        lambda body, _: body.at("properties.supportsHttpsTrafficOnly") in (None, True),
    ),
    Rule(
        "CKV_AZURE_35", CHECKOV, "ARM", "denies by default", STORAGE,
        lambda body, _: body.at("properties.networkAcls.defaultAction") == "Deny",
    ),
    Rule("CKV_AZURE_36", CHECKOV, "ARM", "Azure's own services pass the firewall", STORAGE, services_pass),
    Rule("CKV_AZURE_44", CHECKOV, "ARM", "TLS 1.2", STORAGE, equals("properties.minimumTlsVersion", "TLS1_2")),
    Rule(
        "CKV_AZURE_59", CHECKOV, "ARM", "public network access is not on", STORAGE,
        lambda body, _: body.at("properties.publicNetworkAccess") != "Enabled",
    ),
    Rule(
        "CKV_AZURE_206", CHECKOV, "ARM", "copies in a second region", STORAGE,
        lambda body, _: body.at("sku.name") in COPIED,
    ),
    Rule(
        "CKV_AZURE_109", CHECKOV, "ARM", "denies by default", VAULT,
        equals("properties.networkAcls.defaultAction", "Deny"),
    ),
    Rule(
        "CKV_AZURE_110", CHECKOV, "ARM", "purge protection", VAULT,
        equals("properties.enablePurgeProtection", "true"),
    ),
    Rule(
        "CKV_AZURE_111", CHECKOV, "ARM", "soft delete, which absent is on", VAULT,
        lambda body, _: body.at("properties.enableSoftDelete") in (None, True),
    ),
    Rule("CKV_AZURE_189", CHECKOV, "ARM", "public network access is off", VAULT, vault_closed),
    Rule(
        "CKV_AZURE_137", CHECKOV, "ARM", "no admin account", REGISTRY,
        lambda body, _: body.at("properties.adminUserEnabled") is not True,
    ),
    Rule("CKV_AZURE_138", CHECKOV, "ARM", "no anonymous pull", REGISTRY, nobody_pulls),
    Rule(
        "CKV_AZURE_139", CHECKOV, "ARM", "public network access is off", REGISTRY,
        lambda body, _: body.at("properties.publicNetworkAccess") == "Disabled",
    ),
    Rule(
        "CKV_AZURE_163", CHECKOV, "ARM", "a tier whose images Defender scans", REGISTRY,
        lambda body, _: body.at("sku.name") in PAID_TIERS,
    ),
    Rule(
        "CKV_AZURE_166", CHECKOV, "ARM", "new images are quarantined", REGISTRY,
        lambda body, _: body.at("properties.policies.quarantinePolicy.status") == "enabled",
    ),
    Rule(
        "CKV_AZURE_233", CHECKOV, "ARM", "zone redundancy is not off", REGISTRY,
        lambda body, _: body.at("properties.zoneRedundancy") != "Disabled",
    ),
    Rule("CKV_AZURE_1", CHECKOV, "ARM", "no password login", MACHINE, KEYS_ONLY),
    Rule("CKV_AZURE_149", CHECKOV, "ARM", "no password login", MACHINE, KEYS_ONLY),
    Rule("CKV_AZURE_178", CHECKOV, "ARM", "an SSH key", MACHINE, has_keys),
    Rule(
        "CKV_AZURE_50", CHECKOV, "ARM", "no extensions", MACHINE,
        equals("properties.osProfile.allowExtensionOperations", "false"),
    ),
    Rule(
        "CKV_AZURE_97", CHECKOV, "ARM", "encryption at host", MACHINE,
        equals("properties.securityProfile.encryptionAtHost", "true"),
    ),
    Rule("CKV_AZURE_10", CHECKOV, "ARM", "no SSH from the Internet", GROUP, no_ssh),
)  # fmt: skip
