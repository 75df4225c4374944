"""Plays Microsoft.MachineLearningServices/workspaces/computes for AmlCompute (Compute_*, 2025-12-01).

A PUT overwrites the whole compute, a PATCH takes scale settings only; what a cluster is made of can't be changed. Other
compute types are refused by name. The nodes are `emulator.clusters`: this module only says how many there may be.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator import arm_common, ml, ml_quota
from emulator.resources import virtual_network
from emulator.resources.base import Name, Type, choice, exists, invalid, place, same_place
from emulator.routing import Answer, Refusal, Route
from emulator.vm_sizes import Size, sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json
    from emulator.state import State

KIND = "Microsoft.MachineLearningServices/workspaces/computes"
WORKSPACE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.MachineLearningServices/workspaces/{n0}"
ONE = WORKSPACE + "/computes/{name}"
KINDS = (
    "AKS",
    "Kubernetes",
    "AmlCompute",
    "ComputeInstance",
    "DataFactory",
    "VirtualMachine",
    "HDInsight",
    "Databricks",
    "DataLakeAnalytics",
    "SynapseSpark",
)
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


def quota(state: State, compute: Document, running: Mapping[str, int] | None = None) -> int:
    """Return how many nodes the subscription's cores allow this compute, given what the others run now.

    `running` maps a compute's id in lower case to its nodes; without it the others count with their minimum.
    """
    return ml_quota.allowed_nodes(state, compute, running)


def _shape(write: Write) -> Document:
    given = write.properties
    kind = given.get("computeType")
    if kind not in KINDS:
        raise invalid(f"The value '{kind}' of 'computeType' is not valid. Allowed values: {', '.join(KINDS)}.")
    if kind != "AmlCompute":
        raise Refusal(
            501, "NotImplemented", f"Computes of type '{kind}' are not played by this emulator yet; only AmlCompute is."
        )
    settings = ml.obj(given.get("properties"))
    if write.old is not None:
        _refuse_changes(write, settings)
    else:
        ml_quota.refuse_one_more(write.cloud.state, _location(write))
    _check(write, settings)
    shown = {**DEFAULTS, **{key: settings[key] for key in WRITABLE if settings.get(key) is not None}}
    account = ml.obj(settings.get("userAccountCredentials"))
    if account:
        shown["userAccountCredentials"] = {key: value for key, value in account.items() if key not in SECRETS}
    now = ml.stamp(write.cloud.now())
    return {
        "computeType": "AmlCompute",
        "computeLocation": _location(write),
        "disableLocalAuth": False,
        **{key: given[key] for key in ("description", "disableLocalAuth") if given.get(key) is not None},
        "createdOn": write.kept("createdOn", lambda: now),
        "modifiedOn": now,
        "resourceId": None,
        "provisioningErrors": None,
        "isAttachedCompute": False,
        "properties": shown,
    }


def _location(write: Write) -> str:
    """Return where the nodes are: as asked, as before, or where the workspace is."""
    given = write.body.get("location") or write.properties.get("computeLocation")
    return ml.text(given or write.old_properties.get("computeLocation") or write.parent().get("location"))


def _refuse_changes(write: Write, settings: Document) -> None:
    """Refuse to change what a cluster is made of. Raises `Refusal` 400."""
    old = ml.obj(write.old_properties.get("properties"))
    if not same_place(_location(write), write.old_properties["computeLocation"]):
        raise _fixed(write, "location")
    if write.properties.get("computeType") != write.old_properties["computeType"]:
        raise _fixed(write, "computeType")
    for name in FIXED:
        was, now = old.get(name), settings.get(name)
        if now is None:
            now = DEFAULTS.get(name)
        if name == "userAccountCredentials":
            was, now = _account(write, was), _account(write, now)
        # "NotSpecified" is only the default at creation: the service then opens or closes the port itself (RemoteLogin-
        # PortPublicAccess in azure-rest-api-specs), and azure-ai-ml 1.35.2 says "Disabled" at its next update.
        if _plain(was) != _plain(now) and "NotSpecified" not in {str(was), str(now)}:
            raise _fixed(write, name)


def _account(write: Write, value: Json) -> Json:
    """Compare accounts with their secrets, which are kept apart."""
    account = ml.obj(value)
    if value is not None and not any(name in account for name in SECRETS):
        secret = write.cloud.state.get(f"{write.id}/__secret") or {}
        return {**secret, **account}
    return account or None


def _plain(value: Json) -> str:
    return str(sorted(ml.obj(value).items()) if isinstance(value, dict) else value).lower()


def _fixed(write: Write, name: str) -> Refusal:
    message = (
        f"The property '{name}' of the compute '{write.name}' cannot be changed. Delete the compute and create it "
        "again; only scale settings, identity and tags can be updated."
    )
    return Refusal(400, "ImmutablePropertyChanged", message)


def _check(write: Write, settings: Document) -> None:
    choice(settings.get("vmPriority"), "vmPriority", ("Dedicated", "LowPriority"))
    choice(settings.get("osType"), "osType", ("Linux", "Windows"))
    access = ("Enabled", "Disabled", "NotSpecified")
    choice(settings.get("remoteLoginPortPublicAccess"), "remoteLoginPortPublicAccess", access)
    account = settings.get("userAccountCredentials")
    if account is not None and not ml.obj(account).get("adminUserName"):
        raise invalid("Required property 'adminUserName' of 'userAccountCredentials' is missing.")
    if (
        account is not None
        and not {"adminUserPassword", "adminUserSshPublicKey"} & ml.obj(account).keys()
        and write.old is None
    ):
        raise invalid("'userAccountCredentials' needs 'adminUserSshPublicKey' or 'adminUserPassword'.")
    size = _size(write, settings)
    low, high = scale(settings)
    if settings.get("vmPriority") == "LowPriority" and not size.low_priority:
        raise _bad_value(f"The VM size '{size.name}' is not available as low priority.")
    _check_subnet(write, settings, high)
    probe: Document = {"id": write.id, "properties": {"computeLocation": _location(write), "properties": settings}}
    allowed = ml_quota.allowed_nodes(write.cloud.state, probe, None)
    if low > allowed:
        message = (
            f"The minimum of {low} nodes of {size.name} ({low * size.vcpus} vCPUs) exceeds the quota of the family "
            f"'{size.family}' in {_location(write)}, which leaves room for {allowed}."
        )
        raise Refusal(400, "ClusterMinNodesExceedCoreQuota", message)


def _size(write: Write, settings: Document) -> Size:
    """Return the size's row. Raises `Refusal` 400 when AmlCompute doesn't offer it there."""
    name = ml.text(settings.get("vmSize"))
    if not name:
        raise invalid("Required property 'vmSize' is missing from the request body.")
    size = sizes().get(name.lower())
    today = write.cloud.now().date()
    where = place(_location(write))
    if size is None or not size.in_location(where):
        raise _bad_value(f"The VM size '{name}' is not supported in the location '{where}'.")
    if size.retired_on is not None and size.retired_on <= today:
        instead = f" Use {size.successor} instead." if size.successor else ""
        raise _bad_value(f"The VM size '{size.name}' was retired on {size.retired_on}.{instead}")
    if not size.for_clusters(today):
        raise _bad_value(f"The VM size '{size.name}' is not offered for AmlCompute.")
    return size


def scale(settings: Document) -> tuple[int, int]:
    """Return the minimum and maximum of nodes. Raises `Refusal` 400."""
    given = settings.get("scaleSettings")
    low, high = ml.obj(given).get("minNodeCount", 0), ml.obj(given).get("maxNodeCount")
    if low is None:
        low = 0
    if not isinstance(high, int) or isinstance(high, bool):
        raise invalid("Required property 'scaleSettings.maxNodeCount' is missing from the request body.")
    if not isinstance(low, int) or isinstance(low, bool) or not 0 <= low <= high:
        raise _bad_value(f"'minNodeCount' must be between 0 and 'maxNodeCount' ({high}); got {low}.")
    if not 0 <= high <= MOST_NODES:
        raise _bad_value(f"'maxNodeCount' must be between 0 and {MOST_NODES}; got {high}.")
    idle = ml.obj(given).get("nodeIdleTimeBeforeScaleDown")
    if idle is not None and not (isinstance(idle, str) and DURATION.fullmatch(idle)):
        raise _bad_value(f"'nodeIdleTimeBeforeScaleDown' must be an ISO 8601 duration such as PT120S; got {idle}.")
    return low, high


def _check_subnet(write: Write, settings: Document, nodes: int) -> None:
    reference = settings.get("subnet")
    if reference is None:
        if settings.get("enableNodePublicIp") is False and not _managed_network(write):
            raise _bad_value("'enableNodePublicIp' false needs a 'subnet', or a workspace with a managed network.")
        return
    subnet = exists(write.cloud, ml.obj(reference).get("id"), virtual_network.SUBNET.name, "properties.subnet")
    network = write.cloud.state.get(str(subnet["id"]).rpartition("/subnets/")[0]) or {}
    if not same_place(network.get("location"), _location(write)):
        raise _bad_value(
            f"The virtual network '{network.get('name')}' is in '{network.get('location')}', the compute in "
            f"'{_location(write)}': they must be in the same region."
        )
    taken = sum(
        scale(ml.obj(ml.obj(found["properties"])["properties"]))[1]
        for user in virtual_network.users(write.cloud, str(subnet["id"]))
        if user.lower() != write.id.lower() and (found := write.cloud.state.get(user)) is not None
    )
    room = virtual_network.addresses(subnet) - taken
    if nodes > room:
        message = (
            f"Subnet {subnet['name']} does not have enough capacity for {nodes} IP addresses: {max(room, 0)} are free."
        )
        raise Refusal(400, "SubnetIsFull", message)


def _managed_network(write: Write) -> bool:
    network = ml.obj(ml.obj(write.parent().get("properties")).get("managedNetwork"))
    return network.get("isolationMode", "Disabled") != "Disabled"


def _bad_value(message: str) -> Refusal:
    return Refusal(400, "InvalidPropertyValue", message)


def _patch(_call: Call, old: Document, patch: Document) -> Document:
    """Merge Compute_Update's body: `properties.properties.scaleSettings` and nothing else. Raises `Refusal` 400."""
    outer = ml.obj(patch.get("properties"))
    inner = ml.obj(outer.get("properties"))
    given = ml.obj(inner.get("scaleSettings"))
    if set(patch) != {"properties"} or set(outer) != {"properties"} or set(inner) != {"scaleSettings"} or not given:
        message = "Only 'properties.properties.scaleSettings' can be updated with PATCH."
        raise Refusal(400, "InvalidRequestContent", message)
    properties = ml.obj(old["properties"])
    settings = ml.obj(properties["properties"])
    merged = {**ml.obj(settings.get("scaleSettings")), **given}
    return {**old, "properties": {**properties, "properties": {**settings, "scaleSettings": merged}}}


def _secret(write: Write) -> Document:
    account = ml.obj(ml.obj(write.properties.get("properties")).get("userAccountCredentials"))
    given = {name: account[name] for name in SECRETS if account.get(name)}
    return given or (write.cloud.state.get(f"{write.id}/__secret") or {} if account else {})


def view(cloud: Cloud, compute: Document) -> Document:
    """Return the compute with what its nodes do now."""
    idle: Document = dict.fromkeys(
        (f"{state}NodeCount" for state in ("idle", "running", "preparing", "unusable", "leaving", "preempted")), 0
    )
    properties = ml.obj(compute["properties"])
    now: Document = {
        "allocationState": "Steady",
        "allocationStateTransitionTime": properties.get("modifiedOn"),
        "currentNodeCount": 0,
        "targetNodeCount": 0,
        "nodeStateCounts": idle,
        "errors": None,
    }
    if cloud.clusters is not None:
        now |= cloud.clusters.counts(str(compute["id"]))
    return {**compute, "properties": {**properties, "properties": {**ml.obj(properties["properties"]), **now}}}


def _may_go(call: Call, _compute: Document) -> None:
    """Check Compute_Delete's `underlyingResourceAction`: a cluster can only be deleted. Raises `Refusal` 400."""
    action = call.query.get("underlyingResourceAction", "")
    if action.lower() == "detach":
        raise Refusal(400, "BadRequest", "Detach is not supported for AmlCompute; use underlyingResourceAction=Delete.")
    if action.lower() != "delete":
        message = f"The query parameter 'underlyingResourceAction' must be Delete or Detach; got '{action}'."
        raise Refusal(400, "InvalidParameter", message)


def _settled(cloud: Cloud, compute: Document) -> None:
    if cloud.clusters is not None:
        cloud.clusters.compute_changed(str(compute["id"]))


def _gone(cloud: Cloud, compute: Document) -> None:
    if cloud.clusters is not None:
        cloud.clusters.compute_deleted(str(compute["id"]))


def _compute(call: Call) -> Document:
    found = call.cloud.state.get(ONE.format(**{name: call.args[name] for name in ("sub", "rg", "n0", "name")}))
    if found is None:
        raise arm_common.not_found(TYPE, call)
    return found


def _list_nodes(call: Call) -> Answer:
    """Play Compute_ListNodes."""
    found = _compute(call)
    nodes: list[Json] = [*call.cloud.clusters.nodes(str(found["id"]))] if call.cloud.clusters is not None else []
    return Answer(200, {"nodes": nodes, "nextLink": None})


def _list_keys(call: Call) -> Answer:
    """Play Compute_ListKeys: an AmlCompute has none to list."""
    return Answer(200, {"computeType": ml.obj(_compute(call)["properties"])["computeType"]})


def _no_power(call: Call) -> Answer:
    """Play Compute_Start, _Stop and _Restart, which only a ComputeInstance has."""
    _compute(call)
    verb = call.path.rpartition("/")[2]
    raise Refusal(400, "BadRequest", f"The operation '{verb}' is not supported for computes of type AmlCompute.")


def _extra() -> list[Route]:
    return [
        Route("POST", ONE + "/listNodes", _list_nodes),
        Route("POST", ONE + "/listKeys", _list_keys),
        *(Route("POST", f"{ONE}/{verb}", _no_power) for verb in ("start", "stop", "restart")),
        *ml_quota.routes(),
    ]


TYPE = Type(
    KIND,
    Name(
        r"[A-Za-z](?![A-Za-z0-9-]*-\d+$)[A-Za-z0-9-]{1,30}[A-Za-z0-9]",
        "3-32 letters, digits and '-', starting with a letter, ending with a letter or digit, not '-' and a number",
    ),
    _shape,
    top=("location", "tags", "sku", "identity"),
    location="optional",
    put="operation",
    delete="operation",
    may_go=_may_go,
    gone=_gone,
    settled=_settled,
    view=view,
    patch=_patch,
    secret=_secret,
    extra=_extra,
)
