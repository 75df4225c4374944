"""Plays AmlCompute: a cluster that scales (AmlComputeProperties, api-version 2025-12-01).

The nodes are `emulator.clusters`: this module only says how many there may be, and who may log in to them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import ml, ml_quota
from emulator.resources.base import choice, invalid
from emulator.resources.computes import common
from emulator.resources.computes.common import bad_value
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json

FIXED = (
    "vmSize",
    "vmPriority",
    "subnet",
    "osType",
    "remoteLoginPortPublicAccess",
    "userAccountCredentials",
    "enableNodePublicIp",
    "isolatedNetwork",
    "virtualMachineImage",
)
WRITABLE = (*FIXED, "scaleSettings", "propertyBag")
"""Clients send back what they got: the other members are the service's own."""
MUTABLE = "scale settings, identity and tags"
DEFAULTS: Document = {
    "vmPriority": "Dedicated",
    "osType": "Linux",
    "remoteLoginPortPublicAccess": "NotSpecified",
    "enableNodePublicIp": True,
    "isolatedNetwork": False,
}
SECRETS = ("adminUserPassword",)
DURATION = re.compile(r"P(?=\d|T\d)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
MOST_NODES = 100
"""Nodes of one cluster before one asks for more ("Manage and increase quotas", 2026-01)."""


def _shape(write: Write, settings: Document) -> Document:
    if write.old is not None:
        _refuse_changes(write, settings)
    _check(write, settings)
    shown = {**DEFAULTS, **{key: settings[key] for key in WRITABLE if settings.get(key) is not None}}
    account = ml.obj(settings.get("userAccountCredentials"))
    if account:
        shown["userAccountCredentials"] = {key: value for key, value in account.items() if key not in SECRETS}
    return shown


def _refuse_changes(write: Write, settings: Document) -> None:
    """Refuse to change what a cluster is made of. Raises `Refusal` 400."""
    old = ml.obj(write.old_properties.get("properties"))
    for name in FIXED:
        was, now = old.get(name), settings.get(name)
        if now is None:
            now = DEFAULTS.get(name)
        if name == "userAccountCredentials":
            was, now = _account(write, was), _account(write, now)
        # "NotSpecified" is only the default at creation: the service then opens or closes the port itself (RemoteLogin-
        # PortPublicAccess in azure-rest-api-specs), and azure-ai-ml 1.35.2 says "Disabled" at its next update.
        if common.plain(was) != common.plain(now) and "NotSpecified" not in {str(was), str(now)}:
            raise common.fixed(write, name, MUTABLE)


def _account(write: Write, value: Json) -> Json:
    """Compare accounts with their secrets, which are kept apart."""
    account = ml.obj(value)
    if value is not None and not any(account.get(name) for name in SECRETS):
        return {**common.kept_secret(write), **{key: member for key, member in account.items() if member is not None}}
    return account or None


def _check(write: Write, settings: Document) -> None:
    choice(settings.get("vmPriority"), "vmPriority", ("Dedicated", "LowPriority"))
    choice(settings.get("osType"), "osType", ("Linux", "Windows"))
    access = ("Enabled", "Disabled", "NotSpecified")
    choice(settings.get("remoteLoginPortPublicAccess"), "remoteLoginPortPublicAccess", access)
    account = settings.get("userAccountCredentials")
    if account is not None and not ml.obj(account).get("adminUserName"):
        raise invalid("Required property 'adminUserName' of 'userAccountCredentials' is missing.")
    given = {key for key, value in ml.obj(account).items() if value}
    if account is not None and not {"adminUserPassword", "adminUserSshPublicKey"} & given and write.old is None:
        raise invalid("'userAccountCredentials' needs 'adminUserSshPublicKey' or 'adminUserPassword'.")
    size = common.size_of(write, settings, "AmlCompute")
    low, high = scale(settings)
    if settings.get("vmPriority") == "LowPriority" and not size.low_priority:
        raise bad_value(f"The VM size '{size.name}' is not available as low priority.")
    common.check_subnet(write, settings, high)
    if low == 0:  # fits whatever there is: a thousand clusters need not be counted for each of them
        return
    where = common.location(write)
    probe: Document = {"id": write.id, "properties": {"computeLocation": where, "properties": settings}}
    allowed = ml_quota.allowed_nodes(write.cloud.state, probe, None)
    if low > allowed:
        message = (
            f"The minimum of {low} nodes of {size.name} ({low * size.vcpus} vCPUs) exceeds the quota of the family "
            f"'{size.family}' in {where}, which leaves room for {allowed}."
        )
        raise Refusal(400, "ClusterMinNodesExceedCoreQuota", message)


def scale(settings: Document) -> tuple[int, int]:
    """Return the minimum and maximum of nodes. Raises `Refusal` 400."""
    given = settings.get("scaleSettings")
    low, high = ml.obj(given).get("minNodeCount", 0), ml.obj(given).get("maxNodeCount")
    if low is None:
        low = 0
    if not isinstance(high, int) or isinstance(high, bool):
        raise invalid("Required property 'scaleSettings.maxNodeCount' is missing from the request body.")
    if not isinstance(low, int) or isinstance(low, bool) or not 0 <= low <= high:
        raise bad_value(f"'minNodeCount' must be between 0 and 'maxNodeCount' ({high}); got {low}.")
    if not 0 <= high <= MOST_NODES:
        raise bad_value(f"'maxNodeCount' must be between 0 and {MOST_NODES}; got {high}.")
    idle = ml.obj(given).get("nodeIdleTimeBeforeScaleDown")
    if idle is not None and not (isinstance(idle, str) and DURATION.fullmatch(idle)):
        raise bad_value(f"'nodeIdleTimeBeforeScaleDown' must be an ISO 8601 duration such as PT120S; got {idle}.")
    return low, high


def patched(_call: Call, old: Document, patch: Document) -> Document:
    """Merge Compute_Update's body: `properties.properties.scaleSettings` and nothing else. Raises `Refusal` 400.

    api-version 2020-08-01 and before have it one level higher (ClusterUpdateParameters of azure-mgmt 1.0).
    """
    outer = ml.obj(patch.get("properties"))
    inner = ml.obj(outer.get("properties")) if set(outer) != {"scaleSettings"} else outer
    given = ml.obj(inner.get("scaleSettings"))
    whole = set(patch) == {"properties"} and (inner is outer or set(outer) == {"properties"})
    if not whole or set(inner) != {"scaleSettings"} or not given:
        message = "Only 'properties.properties.scaleSettings' can be updated with PATCH."
        raise Refusal(400, "InvalidRequestContent", message)
    properties = ml.obj(old["properties"])
    settings = ml.obj(properties["properties"])
    merged = {**ml.obj(settings.get("scaleSettings")), **given}
    return {**old, "properties": {**properties, "properties": {**settings, "scaleSettings": merged}}}


def _secret(write: Write) -> Document:
    account = ml.obj(ml.obj(write.properties.get("properties")).get("userAccountCredentials"))
    given = {name: account[name] for name in SECRETS if account.get(name)}
    return given or (common.kept_secret(write) if account else {})


def _view(cloud: Cloud, compute: Document) -> Document:
    """Add what the nodes do now."""
    idle: Document = dict.fromkeys(
        (f"{state}NodeCount" for state in ("idle", "running", "preparing", "unusable", "leaving", "preempted")), 0
    )
    now: Document = {
        "allocationState": "Steady",
        "allocationStateTransitionTime": ml.obj(compute["properties"]).get("modifiedOn"),
        "currentNodeCount": 0,
        "targetNodeCount": 0,
        "nodeStateCounts": idle,
        "errors": None,
    }
    if cloud.clusters is not None:
        now |= cloud.clusters.counts(str(compute["id"]))
    return {**common.inner(compute), **now}


def _nodes(cloud: Cloud, compute: Document) -> list[Json]:
    return [*cloud.clusters.nodes(str(compute["id"]))] if cloud.clusters is not None else []


def _keys(_cloud: Cloud, _compute: Document) -> Document:
    return {}


def _settled(cloud: Cloud, compute: Document) -> None:
    if cloud.clusters is not None:
        cloud.clusters.compute_changed(str(compute["id"]))


def _gone(cloud: Cloud, compute: Document) -> None:
    if cloud.clusters is not None:
        cloud.clusters.compute_deleted(str(compute["id"]))


def ssh_account(cloud: Cloud, compute: Document) -> tuple[str, tuple[str, ...], str] | None:
    """Return user, public keys and password of the nodes' SSH, or None where their port is closed.

    Closed as well: without a public address, and with local accounts switched off. NotSpecified means open outside a
    virtual network (RemoteLoginPortPublicAccess in azure-rest-api-specs).
    """
    settings = common.inner(compute)
    access, account = settings.get("remoteLoginPortPublicAccess"), ml.obj(settings.get("userAccountCredentials"))
    opened = access == "Enabled" or (access == "NotSpecified" and not settings.get("subnet"))
    local = ml.obj(compute["properties"]).get("disableLocalAuth") is not True
    if not opened or not account or not local or settings.get("enableNodePublicIp") is False:
        return None
    key = ml.text(account.get("adminUserSshPublicKey"))
    password = ml.text((cloud.state.get(f"{compute['id']}/__secret") or {}).get("adminUserPassword"))
    return ml.text(account["adminUserName"]), ((key,) if key else ()), password


COMPUTE = common.Compute(
    "AmlCompute",
    common.name_rule(3, 32),
    attached=False,
    shape=_shape,
    view=_view,
    keys=_keys,
    nodes=_nodes,
    secret=_secret,
    settled=_settled,
    gone=_gone,
)
