"""Plays Microsoft.ContainerRegistry/registries (Registries_*, 2023-01-01-preview).

The control plane only: no image is kept here. What each tier has is azure-docs "Azure Container Registry service tiers"
(container-registry-skus); messages without a source are ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from emulator import ml
from emulator.resources import private_endpoint
from emulator.resources.base import Name, Type, choice, invalid
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

KIND = "Microsoft.ContainerRegistry/registries"
ONE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.ContainerRegistry/registries/{name}"
SKUS = ("Basic", "Standard", "Premium")
POLICIES: Document = {
    "quarantinePolicy": {"status": "disabled"},
    "trustPolicy": {"type": "Notary", "status": "disabled"},
    "retentionPolicy": {"days": 7, "status": "disabled"},
    "exportPolicy": {"status": "enabled"},
    "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
    "softDeletePolicy": {"retentionDays": 7, "status": "disabled"},
}
OF_PREMIUM = ("quarantinePolicy", "trustPolicy", "retentionPolicy")


def _shape(write: Write) -> Document:
    given = {
        name: value for name, value in write.properties.items() if name not in {"loginServer", "provisioningState"}
    }
    sku = ml.text(ml.obj(write.body.get("sku")).get("name"))
    if not sku:
        raise invalid("Required property 'sku.name' is missing from the request body.")
    choice(sku, "sku.name", SKUS)
    choice(given.get("publicNetworkAccess"), "publicNetworkAccess", ("Enabled", "Disabled"))
    choice(given.get("zoneRedundancy"), "zoneRedundancy", ("Enabled", "Disabled"))
    choice(given.get("networkRuleBypassOptions"), "networkRuleBypassOptions", ("AzureServices", "None"))
    if write.old is None:
        _global_name(write)
    policies = {name: {**ml.obj(policy), **ml.obj(ml.obj(given.get("policies")).get(name))}
                for name, policy in POLICIES.items()}  # fmt: skip
    _within_tier(given, policies, sku)
    if policies["exportPolicy"]["status"] == "disabled" and given.get("publicNetworkAccess") != "Disabled":
        raise _refused("The export policy can be disabled only when publicNetworkAccess is Disabled.")
    return {
        "adminUserEnabled": False,
        "anonymousPullEnabled": False,
        "dataEndpointEnabled": False,
        "publicNetworkAccess": "Enabled",
        "networkRuleBypassOptions": "AzureServices",
        "zoneRedundancy": "Disabled",
        **given,
        "policies": {**policies},
        "loginServer": f"{write.name.lower()}.azurecr.{write.cloud.origin.removeprefix('https://')}",
        "creationDate": write.kept("creationDate", lambda: ml.stamp(write.cloud.now())),
        "dataEndpointHostNames": [],
        "privateEndpointConnections": [],
    }


def _within_tier(given: Document, policies: dict[str, Document], sku: str) -> None:
    """Refuse what only the premium tier has."""
    if sku == "Premium":
        return
    asked = {
        "publicNetworkAccess Disabled": given.get("publicNetworkAccess") == "Disabled",
        "networkRuleSet": given.get("networkRuleSet") is not None,
        "zoneRedundancy": given.get("zoneRedundancy") == "Enabled",
        "dataEndpointEnabled": given.get("dataEndpointEnabled") is True,
        "encryption": ml.obj(given.get("encryption")).get("status") == "enabled",
        **{name: policies[name].get("status") == "enabled" for name in OF_PREMIUM},
    }
    for what, wanted in asked.items():
        if wanted:
            raise _refused(f"The registry's sku {sku} does not support {what}; sku Premium does.")
    if sku == "Basic" and given.get("anonymousPullEnabled") is True:
        raise _refused("The registry's sku Basic does not support anonymousPullEnabled; sku Standard does.")


def _refused(message: str) -> Refusal:
    return Refusal(400, "FeatureNotSupportedForSku", message)


def _global_name(write: Write) -> None:
    """Refuse a name that somebody has: it is a host name."""
    end = f"/{KIND}/{write.name}".lower()
    if any(key.endswith(end) for key, _ in write.cloud.state.all("arm", "/subscriptions/")):
        raise Refusal(409, "AlreadyInUse", f"The registry DNS name {write.name.lower()}.azurecr.io is already in use.")


def _outputs(write: Write) -> Document:
    sku = ml.obj(write.body.get("sku"))
    return {"sku": {**sku, "tier": sku["name"]}}


def credentials(cloud: Cloud, id_: str) -> Document | None:
    """Return the admin user's credentials, or None where there is no registry or no admin user."""
    found = cloud.state.get(id_)
    if found is None or ml.obj(found["properties"]).get("adminUserEnabled") is not True:
        return None
    return {
        "location": found["location"],
        "username": found["name"],
        "passwords": [{"name": name, "value": _password(cloud, id_, name)} for name in ("password", "password2")],
    }


def _password(cloud: Cloud, id_: str, name: str) -> str:
    made = hmac.new(cloud.secret, f"registry {id_.lower()} {name}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(made.digest()).decode().rstrip("=")


def _list_credentials(call: Call) -> Answer:
    """Play Registries_ListCredentials."""
    id_ = ONE.format(**{name: call.args[name] for name in ("sub", "rg", "name")})
    if call.cloud.state.get(id_) is None:
        message = f"The Resource '{KIND}/{call.args['name']}' under resource group '{call.args['rg']}' was not found."
        raise Refusal(404, "ResourceNotFound", message)
    found = credentials(call.cloud, id_)
    if found is None:
        message = (
            f"Cannot perform credential operations for {id_} as admin user is disabled. Kindly enable admin user as "
            "per docs: https://docs.microsoft.com/en-us/azure/container-registry/container-registry-authentication#admin-account"
        )
        raise Refusal(400, "UnAuthorizedForCredentialOperations", message)
    return Answer(200, {name: found[name] for name in ("username", "passwords")})


TYPE = Type(
    KIND,
    Name(r"[A-Za-z0-9]{5,50}", "5-50 letters and digits"),
    _shape,
    outputs=_outputs,
    top=("location", "tags", "sku", "identity"),
    put="operation",
    delete="operation",
    view=private_endpoint.with_connections,
    extra=lambda: [Route("POST", f"{ONE}/listCredentials", _list_credentials)],
)
