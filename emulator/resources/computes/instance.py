"""Plays ComputeInstance: one machine of one person (ComputeInstanceProperties, api-version 2025-12-01).

Whether it is on, and its SSH server, are `emulator.instances`. Its timetable and idle time can be changed, the rest of
it is fixed: Terraform recreates an instance for anything else (azurerm_machine_learning_compute_instance).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from emulator import durations, instances, ml, ml_quota, schedules
from emulator.constants import OBJECT_ID, TENANT_ID
from emulator.resources.base import choice, invalid, place, same_place
from emulator.resources.computes import common
from emulator.resources.computes.common import bad_value
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Json

NAME = "ComputeInstance"
DEFAULTS: Document = {
    "applicationSharingPolicy": "Shared",
    "computeInstanceAuthorizationType": "personal",
    "enableNodePublicIp": True,
    "enableSSO": True,
    "sshSettings": {"sshPublicAccess": "Disabled"},
    # Of 2023-08-01-preview; azure-ai-ml 1.35.2 still sends them.
    "enableRootAccess": True,
    "enableOSPatching": False,
    "releaseQuotaOnStop": False,
}
SHOWN = ("applicationSharingPolicy", "computeInstanceAuthorizationType", "enableNodePublicIp", "enableSSO")
"""The defaults that GET shows where nothing was sent."""
FIXED = (
    "vmSize",
    "subnet",
    *DEFAULTS,
    "personalComputeInstanceSettings",
    "setupScripts",
    "customServices",
)
WRITABLE = (*FIXED, "idleTimeBeforeShutdown", "schedules")
MUTABLE = "idle time, schedules, identity and tags"
SSH_WRITABLE = ("sshPublicAccess", "adminPublicKey")
SHORTEST_IDLE, LONGEST_IDLE = timedelta(minutes=15), timedelta(days=3)
"""IdleShutdownSetting in azure-rest-api-specs."""
SCHEDULE_READ_ONLY = ("id", "provisioningStatus")
IMAGE = "25.10.14"
"""The version that the image says it is; any would do."""


def _shape(write: Write, settings: Document) -> Document:
    settings = {**settings, "sshSettings": _ssh(settings), "schedules": _schedules(settings)}
    if write.old is None:
        _refuse_taken_name(write)
    else:
        _refuse_changes(write, settings)
    _check(write, settings)
    who: Document = {
        "userName": "trainyard",
        "userId": write.call.claims.get("oid", OBJECT_ID),
        "userOrgId": write.call.claims.get("tid", TENANT_ID),
    }
    kept = {key: settings[key] for key in WRITABLE if settings.get(key) is not None}
    made = ml.obj(write.old_properties.get("properties")).get("createdBy")
    return {**{key: DEFAULTS[key] for key in SHOWN}, **kept, "createdBy": made or who}


def _ssh(settings: Document) -> Document:
    """Return what a caller may say of SSH: the port and the user's name are the service's."""
    given = ml.obj(settings.get("sshSettings"))
    return {"sshPublicAccess": "Disabled"} | {key: given[key] for key in SSH_WRITABLE if given.get(key) is not None}


def _schedules(settings: Document) -> Json:
    """Return the timetable without what the service adds to each entry."""
    given = settings.get("schedules")
    entries: list[Json] = [
        {key: value for key, value in ml.obj(entry).items() if key not in SCHEDULE_READ_ONLY}
        for entry in ml.items(ml.obj(given).get("computeStartStop"))
    ]
    return {**given, "computeStartStop": entries} if isinstance(given, dict) else given


def _refuse_taken_name(write: Write) -> None:
    """Refuse the name of another instance of the region. Raises `Refusal` 409; the code is ours."""
    for _, other in write.cloud.state.all("arm"):
        if ml.text(other.get("type")) != common.TYPE_NAME or ml.text(other["name"]).lower() != write.name.lower():
            continue
        properties = ml.obj(other["properties"])
        if properties.get("computeType") == NAME and same_place(properties["computeLocation"], common.location(write)):
            message = (
                f"The name '{write.name}' is taken by a compute instance in {common.location(write)}. Choose another."
            )
            raise Refusal(409, "Conflict", message)


def _refuse_changes(write: Write, settings: Document) -> None:
    """Refuse to change what an instance is made of. Raises `Refusal` 400."""
    old = ml.obj(write.old_properties.get("properties"))
    for name in FIXED:
        was, now = old.get(name), settings.get(name)
        if common.plain(DEFAULTS.get(name) if was is None else was) != common.plain(
            DEFAULTS.get(name) if now is None else now
        ):
            raise common.fixed(write, name, MUTABLE)


def _check(write: Write, settings: Document) -> None:
    ssh = ml.obj(settings["sshSettings"])
    choice(settings.get("applicationSharingPolicy"), "applicationSharingPolicy", ("Personal", "Shared"))
    choice(settings.get("computeInstanceAuthorizationType"), "computeInstanceAuthorizationType", ("personal",))
    choice(ssh.get("sshPublicAccess"), "sshSettings.sshPublicAccess", ("Enabled", "Disabled"))
    if ssh["sshPublicAccess"] == "Enabled" and not ssh.get("adminPublicKey"):
        raise invalid("'sshSettings.adminPublicKey' is required when 'sshPublicAccess' is Enabled.")
    where = common.location(write)
    if not same_place(where, write.parent().get("location")):
        message = (
            f"A compute instance is in its workspace's region ('{write.parent().get('location')}'), not in '{where}'."
        )
        raise bad_value(message)
    check_idle(settings.get("idleTimeBeforeShutdown"))
    for entry in ml.items(ml.obj(settings.get("schedules")).get("computeStartStop")):
        fault = schedules.fault(ml.obj(entry))
        if fault is not None:
            raise bad_value(f"'schedules.computeStartStop' is not valid: {fault}.")
    size = common.size_of(write, settings, NAME)
    common.check_subnet(write, settings, 1)
    properties: Document = {"computeType": NAME, "computeLocation": where, "properties": settings}
    if ml_quota.allowed_nodes(write.cloud.state, {"id": write.id, "properties": properties}, None) < 1:
        message = f"The {size.vcpus} vCPUs of {size.name} exceed the quota of the family '{size.family}' in {where}."
        raise Refusal(400, "ClusterMinNodesExceedCoreQuota", message)  # an instance counts as a cluster of one node


def check_idle(value: Json) -> None:
    """Check an idle time before shutdown. Raises `Refusal` 400."""
    if value is None:
        return
    idle = durations.parse(ml.text(value))
    if idle is None or not SHORTEST_IDLE <= idle <= LONGEST_IDLE:
        raise bad_value(f"'idleTimeBeforeShutdown' must be an ISO 8601 duration from PT15M to P3D; got {value}.")


def _view(cloud: Cloud, compute: Document) -> Document:
    """Add what the service knows of the instance now."""
    id_, settings, properties = str(compute["id"]), common.inner(compute), ml.obj(compute["properties"])
    known = instances.record(cloud, id_)
    host = cloud.origin.removeprefix("https://")
    door = cloud.ssh.find(id_) if cloud.ssh is not None else None
    ssh: Document = {"adminUserName": instances.ADMIN, "sshPort": door.port if door is not None else 22}
    timetable = ml.obj(settings.get("schedules"))
    if timetable:
        entries: list[Json] = [
            {**ml.obj(entry), "id": str(uuid5(NAMESPACE_URL, f"{id_}/{index}")), "provisioningStatus": "Completed"}
            for index, entry in enumerate(ml.items(timetable.get("computeStartStop")))
        ]
        settings = {**settings, "schedules": {**timetable, "computeStartStop": entries}}
    base = f"https://{compute['name']}.{place(properties['computeLocation'])}.instances.{host}"
    return {
        **settings,
        "sshSettings": {**ml.obj(settings["sshSettings"]), **ssh},
        "state": "Deleting" if properties.get("provisioningState") == "Deleting" else known["state"],
        "lastOperation": known["lastOperation"],
        "connectivityEndpoints": _addresses(compute, on=known["state"] == "Running"),
        "applications": [
            {"displayName": "Jupyter", "endpointUri": f"{base}/tree"},
            {"displayName": "Jupyter Lab", "endpointUri": f"{base}/lab"},
        ],
        "osImageMetadata": {
            "currentImageVersion": IMAGE,
            "latestImageVersion": IMAGE,
            "isLatestOsImageVersion": True,
        },
        "errors": [],
        "containers": [],
        "dataDisks": [],
        "dataMounts": [],
        "versions": {"runtime": None},
    }


def _addresses(compute: Document, *, on: bool) -> Document | None:
    """Return the addresses of an instance that is on: its public one is this machine."""
    if not on:
        return None
    public = common.inner(compute).get("enableNodePublicIp") is not False
    return {"publicIpAddress": "127.0.0.1" if public else None, "privateIpAddress": "10.0.0.4"}


def _keys(_cloud: Cloud, _compute: Document) -> Document:
    return {}


def _settled(cloud: Cloud, compute: Document) -> None:
    instances.end(cloud, str(compute["id"]))
    if cloud.clusters is not None:
        cloud.clusters.compute_changed(str(compute["id"]))


def _gone(cloud: Cloud, compute: Document) -> None:
    if cloud.clusters is not None:
        cloud.clusters.compute_deleted(str(compute["id"]))
    instances.gone(cloud, str(compute["id"]))


COMPUTE = common.Compute(
    NAME,
    common.name_rule(3, 24),
    attached=False,
    shape=_shape,
    view=_view,
    keys=_keys,
    settled=_settled,
    gone=_gone,
)
