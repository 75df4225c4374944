"""Plays Microsoft.MachineLearningServices/workspaces/computes (Compute_*, 2025-12-01): what holds for every type.

A PUT overwrites the whole compute, a PATCH takes a cluster's scale settings only; what a compute is made of can't be
changed. The types are in `emulator.resources.computes`; those that are not played are refused by name.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from emulator import arm_common, instances, ml, ml_quota, operations
from emulator.resources.base import Name, Type, invalid, same_place
from emulator.resources.computes import aml, common, instance, machine
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.resources.computes.common import Compute
    from emulator.routing import Call
    from emulator.state import State

KIND = common.TYPE_NAME
WORKSPACE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.MachineLearningServices/workspaces/{n0}"
ONE = WORKSPACE + "/computes/{name}"
PLAYED = {found.name: found for found in (aml.COMPUTE, instance.COMPUTE, machine.COMPUTE)}
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
MUTABLE = "description, identity and tags"
ASYNC_POWER = "2021-07-01"
"""From this api-version on start, stop and restart are long-running: 202. Before, and in azure-mgmt 1.0, 200."""


def quota(state: State, compute: Document, running: Mapping[str, int] | None = None) -> int:
    """Return how many nodes the subscription's cores allow this compute, given what the others run now.

    `running` maps a compute's id in lower case to its nodes; without it the others count with their minimum.
    """
    return ml_quota.allowed_nodes(state, compute, running)


def of(compute: Document) -> Compute:
    """Return the type of a compute that exists. It is one that is played, or it would not."""
    return PLAYED[ml.text(ml.obj(compute["properties"]).get("computeType")) or "AmlCompute"]


def _shape(write: Write) -> Document:
    given = write.properties
    kind = given.get("computeType")
    if kind not in KINDS:
        raise invalid(f"The value '{kind}' of 'computeType' is not valid. Allowed values: {', '.join(KINDS)}.")
    played = PLAYED.get(str(kind))
    if played is None:
        words = f"{', '.join(PLAYED)} are"
        raise Refusal(501, "NotImplemented", f"Computes of type '{kind}' are not played by this emulator yet; {words}.")
    where = common.location(write)
    if write.old is not None:
        if not same_place(where, write.old_properties["computeLocation"]):
            raise common.fixed(write, "location", MUTABLE)
        if kind != write.old_properties.get("computeType"):
            raise common.fixed(write, "computeType", MUTABLE)
    else:
        _refuse_name(write, played)
        if not played.attached:
            ml_quota.refuse_one_more(write.cloud.state, where)
    shown = played.shape(write, ml.obj(given.get("properties")))
    now = ml.stamp(write.cloud.now())
    return {
        "computeType": kind,
        "computeLocation": given.get("computeLocation") or where,
        "disableLocalAuth": False,
        **{key: given[key] for key in ("description", "disableLocalAuth") if given.get(key) is not None},
        "createdOn": write.kept("createdOn", lambda: now),
        "modifiedOn": now,
        "resourceId": given.get("resourceId") if played.attached else None,
        "provisioningErrors": None,
        "isAttachedCompute": played.attached,
        "properties": shown,
    }


def _refuse_name(write: Write, played: Compute) -> None:
    if not played.rule.fits(write.name):
        message = f"The resource name '{write.name}' of type '{KIND}' is not valid: {played.rule.words}."
        raise Refusal(400, "InvalidResourceName", message)


def _patch(call: Call, old: Document, patch: Document) -> Document:
    """Play Compute_Update: only a cluster has something to update. Raises `Refusal` 400."""
    if of(old) is not aml.COMPUTE:
        message = f"PATCH is only supported for computes of type AmlCompute, not for {of(old).name}."
        raise Refusal(400, "BadRequest", message)
    return aml.patched(call, old, patch)


def _secret(write: Write) -> Document:
    played = PLAYED[ml.text(write.properties.get("computeType"))]
    return played.secret(write)


def view(cloud: Cloud, compute: Document) -> Document:
    """Return the compute with what it does now."""
    properties = ml.obj(compute["properties"])
    return {**compute, "properties": {**properties, "properties": of(compute).view(cloud, compute)}}


def _may_go(call: Call, compute: Document) -> None:
    """Check Compute_Delete's `underlyingResourceAction`: what is ours is deleted, what is attached is detached.

    azureml-core says the same of its classes (RemoteCompute.delete: "Delete is not supported", AmlCompute.detach
    likewise); the code is ours. Raises `Refusal` 400.
    """
    action, played = call.query.get("underlyingResourceAction", ""), of(compute)
    if action.lower() not in {"detach", "delete"}:
        message = f"The query parameter 'underlyingResourceAction' must be Delete or Detach; got '{action}'."
        raise Refusal(400, "InvalidParameter", message)
    wanted = "Detach" if played.attached else "Delete"
    if action.lower() != wanted.lower():
        message = f"{action.capitalize()} is not supported for {played.name}; use underlyingResourceAction={wanted}."
        raise Refusal(400, "BadRequest", message)


def _settled(cloud: Cloud, compute: Document) -> None:
    of(compute).settled(cloud, compute)


def _gone(cloud: Cloud, compute: Document) -> None:
    of(compute).gone(cloud, compute)


def _compute(call: Call) -> Document:
    found = call.cloud.state.get(ONE.format(**{name: call.args[name] for name in ("sub", "rg", "n0", "name")}))
    if found is None:
        raise arm_common.not_found(TYPE, call)
    return found


def _list_nodes(call: Call) -> Answer:
    """Play Compute_ListNodes. Only a cluster has nodes (MicrosoftDocs/azure-docs issue 85756 has the words)."""
    found = _compute(call)
    played = of(found)
    if played.nodes is None:
        raise Refusal(400, "UserError", f"ComputeListNodes with computeType {played.name} is not supported.")
    kind: Document = {"computeType": played.name} if _version(call) < "2021" else {}
    return Answer(200, {**kind, "nodes": played.nodes(call.cloud, found), "nextLink": None})


def _list_keys(call: Call) -> Answer:
    """Play Compute_ListKeys: the type, and its secrets if it has any."""
    found = _compute(call)
    return Answer(200, {"computeType": of(found).name, **of(found).keys(call.cloud, found)})


def _instance(call: Call, what: str) -> Document:
    """Return the compute instance that the path names. Raises `Refusal` 400 for another type."""
    found = _compute(call)
    if of(found) is not instance.COMPUTE:
        message = f"The operation '{what}' is not supported for computes of type {of(found).name}."
        raise Refusal(400, "BadRequest", message)
    arm_common.refuse_busy(found)
    return found


def _power(verb: str, call: Call) -> Answer:
    """Play Compute_Start, _Stop and _Restart: 202 with `Location`."""
    id_ = str(_instance(call, verb)["id"])
    instances.begin(call.cloud, id_, verb)
    headers = operations.begin(call, id_, verb, partial(instances.end, call.cloud, id_))
    if _version(call) < ASYNC_POWER:
        instances.end(call.cloud, id_)
        return Answer(200)
    del headers["Azure-AsyncOperation"]
    return Answer(202, None, headers)


def _version(call: Call) -> str:
    return call.query.get("api-version", "")


def _idle(call: Call) -> Answer:
    """Play Compute_UpdateIdleShutdownSetting."""
    return _settings(call, "updateIdleShutdownSetting", "idleTimeBeforeShutdown")


def _sso(call: Call) -> Answer:
    """Play `enableSso` (2024-04-01-preview), which azure-ai-ml calls."""
    return _settings(call, "enableSso", "enableSSO")


def _settings(call: Call, what: str, name: str) -> Answer:
    value = call.json().get(name)
    with call.cloud.state.transaction():
        found = _instance(call, what)
        if name == "enableSSO" and not isinstance(value, bool):
            raise invalid("'enableSSO' must be true or false.")
        if name != "enableSSO":
            instance.check_idle(value)
        inner: Document = {**common.inner(found), name: value}
        changed: Document = {key: member for key, member in inner.items() if member is not None}
        properties: Document = {
            **ml.obj(found["properties"]),
            "modifiedOn": ml.stamp(call.cloud.now()),
            "properties": changed,
        }
        call.cloud.state.put(str(found["id"]), {**found, "properties": properties})
    return Answer(200)


def _extra() -> list[Route]:
    return [
        Route("POST", ONE + "/listNodes", _list_nodes),
        Route("POST", ONE + "/listKeys", _list_keys),
        Route("POST", ONE + "/updateIdleShutdownSetting", _idle),
        Route("POST", ONE + "/enableSso", _sso),
        *(Route("POST", f"{ONE}/{verb}", partial(_power, verb)) for verb in instances.VERBS),
        *ml_quota.routes(),
    ]


TYPE = Type(
    KIND,
    Name(r".*", "as its compute type has it"),  # each type has its own, judged in `_shape`
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
