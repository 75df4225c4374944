"""Plays Microsoft.Compute/virtualMachines (VirtualMachines_*, 2024-11-01): Linux machines from an image, with keys.

Whether one is on, and its SSH server, are `emulator.virtual_machines`. Disks are not resources of their own here, and
images are names: the machine that one logs in to is a folder of this one. Words: azure-rest-api-specs, compute, and as
users saw them (each cited); codes without a source are ours.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from emulator import arm_common, ml, operations, virtual_machines
from emulator.resources import addresses
from emulator.resources.base import Name, Type, exists
from emulator.resources.virtual_network import INTERFACE, etag
from emulator.routing import Answer, Refusal, Route
from emulator.vm_sizes import sizes

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.resources.base import Document, Write
    from emulator.routing import Call, Json

KIND = virtual_machines.TYPE_NAME
ONE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.Compute/virtualMachines/{name}"
READ_ONLY = ("instanceView", "vmId", "timeCreated", "resources", "provisioningState")
SECRETS = ("adminPassword", "customData")
"""What Azure never shows again."""
FIXED = ("adminUsername", "computerName", "linuxConfiguration")
FORBIDDEN_USERS = frozenset({
    *("administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "1", "123", "a"),
    *("actuser", "admin1", "adm", "admin2"),
    *("aspnet", "backup", "console", "david", "guest", "john", "owner", "root", "server", "sql"),
    *("support", "support_388945a0", "sys", "test2", "test3", "user4", "user5"),
})  # fmt: skip
"""OSProfile.adminUsername, "Disallowed values" (azure-rest-api-specs)."""
LONGEST_CUSTOM_DATA = 87380
HOST_KEY_SCRIPT = "cat /etc/ssh/ssh_host_ed25519_key.pub"


def _bad(message: str) -> Refusal:
    return Refusal(400, "InvalidParameter", message)


def _missing(name: str) -> Refusal:
    return _bad(f"Required parameter '{name}' is missing (null).")


def _fixed(name: str) -> Refusal:
    """Return the 409 that hashicorp/terraform#8796 saw."""
    return Refusal(409, "PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.")


def _shape(write: Write) -> Document:
    given = {name: value for name, value in write.properties.items() if name not in READ_ONLY}
    storage, profile = ml.obj(given.get("storageProfile")), ml.obj(given.get("osProfile"))
    _size(write, given)
    _image(storage)
    _account(write, profile)
    _interfaces(write, given)
    if write.old is not None:
        _refuse_changes(write, storage, profile)
    disk = ml.obj(storage.get("osDisk"))
    was = ml.obj(ml.obj(write.old_properties.get("storageProfile")).get("osDisk"))
    named: Document = {"osType": "Linux", "name": was.get("name") or f"{write.name}_OsDisk_1_{uuid4().hex}"}
    shown = {name: value for name, value in profile.items() if name not in SECRETS}
    return {
        **given,
        "storageProfile": {**storage, "osDisk": {**named, **disk}},
        "osProfile": {"secrets": [], "allowExtensionOperations": True, **shown},
        "vmId": write.kept("vmId", lambda: str(uuid4())),
        "timeCreated": write.kept("timeCreated", lambda: ml.stamp(write.cloud.now())),
    }


def _size(write: Write, given: Document) -> None:
    """Check the size: one of those that Azure Machine Learning has (ansible-collections/azure#1243)."""
    name = ml.text(ml.obj(given.get("hardwareProfile")).get("vmSize"))
    if not name:
        raise _missing("hardwareProfile.vmSize")
    size = sizes().get(name.lower())
    if size is None:
        message = f"The value {name} provided for the VM size is not valid. The valid sizes in the current region are: "
        raise _bad(message + ",".join(sorted(item.name for item in sizes().values())) + ".")
    where = ml.text(write.body.get("location") or (write.old or {}).get("location"))
    if not size.in_location(where.replace(" ", "").lower()):
        message = (
            "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: "
            f"{size.name}' is currently not available in location '{where}'. Please try another size or deploy to a "
            "different location or different zone. See https://aka.ms/azureskunotavailable for details."
        )
        raise Refusal(409, "SkuNotAvailable", message)


def _image(storage: Document) -> None:
    image = ml.obj(storage.get("imageReference"))
    if not image:
        raise _missing("storageProfile.imageReference")
    if not image.get("id"):
        for name in ("publisher", "offer", "sku", "version"):
            if not image.get(name):
                raise _missing(f"imageReference.{name}")


def _account(write: Write, profile: Document) -> None:
    for name in ("computerName", "adminUsername"):
        if not profile.get(name):
            raise _missing(f"osProfile.{name}")
    user = ml.text(profile["adminUsername"])
    if user.lower() in FORBIDDEN_USERS:  # hashicorp/terraform#5793
        raise _bad("The Admin Username specified is not allowed.")
    if "linuxConfiguration" not in profile:
        message = "Machines without 'osProfile.linuxConfiguration' are not played by this emulator."
        raise Refusal(501, "NotPlayedByThisEmulator", message)
    linux = ml.obj(profile["linuxConfiguration"])
    keys = [ml.obj(item) for item in ml.items(ml.obj(linux.get("ssh")).get("publicKeys"))]
    kept = write.cloud.state.get(f"{write.id}/__secret") or {}
    if linux.get("disablePasswordAuthentication") is True:
        if not keys:
            raise _missing("linuxConfiguration.ssh.publicKeys")
    elif not profile.get("adminPassword") and not kept.get("adminPassword"):
        raise _missing("osProfile.adminPassword")
    for key in keys:
        _key(user, key)
    _custom_data(ml.text(profile.get("customData")))


def _key(user: str, key: Document) -> None:
    path = f"/home/{user}/.ssh/authorized_keys"
    if key.get("path") != path:  # Azure/WALinuxAgent#1852
        message = f"Destination path for SSH public keys is currently limited to its default value {path} due to a"
        raise _bad(f"{message} known issue in Linux provisioning agent.")
    try:
        load_ssh_public_key(ml.text(key.get("keyData")).encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad("The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.") from error


def _custom_data(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        text = ""
        sound = False
    else:
        sound = len(text) <= LONGEST_CUSTOM_DATA
    if not sound:
        message = (
            f"Custom data in OSProfile must be in Base64 encoding and with a maximum length of {LONGEST_CUSTOM_DATA}"
        )
        raise _bad(f"{message} characters.")


def _interfaces(write: Write, given: Document) -> None:
    """Check the interfaces: there, in the region, nobody else's. Raises `Refusal` 400."""
    found = virtual_machines.interfaces({"properties": given})
    if not found:
        raise _missing("networkProfile.networkInterfaces")
    for id_ in found:
        nic = exists(write.cloud, id_, INTERFACE, f"resource {write.id}")
        addresses.in_region(write, nic, id_)
        other = virtual_machines.of_interface(write.cloud, id_)
        endpoint = ml.obj(ml.obj(nic["properties"]).get("privateEndpoint")).get("id")
        owner = endpoint if other is None else other["id"]
        if owner is not None and str(owner).lower() != write.id.lower():
            message = f"Network Interface {id_} is used by existing resource {owner}."
            raise Refusal(400, "NicInUse", message)


def _refuse_changes(write: Write, storage: Document, profile: Document) -> None:
    """Refuse to make another machine of it. Raises `Refusal` 409."""
    was = write.old_properties
    image = ml.obj(ml.obj(was["storageProfile"]).get("imageReference"))
    now = ml.obj(storage.get("imageReference"))
    for name in dict.fromkeys([*image, *now]):
        if image.get(name) != now.get(name):
            raise _fixed(f"imageReference.{name}" if name == "id" else "imageReference")
    before = ml.obj(was["osProfile"])
    for name in FIXED:
        if before.get(name) != profile.get(name):
            raise _fixed(f"osProfile.{name}" if name != "linuxConfiguration" else name)
    kept = write.cloud.state.get(f"{write.id}/__secret") or {}
    for name in SECRETS:
        if profile.get(name) not in (None, kept.get(name)):
            raise _fixed(f"osProfile.{name}")
    same = virtual_machines.interfaces({"properties": was}) == virtual_machines.interfaces(write.body)
    if not same and virtual_machines.power(write.cloud, write.id) == "running":
        message = "Secondary network interfaces cannot be added or removed while the virtual machine is running."
        raise Refusal(409, "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported", message)
    sizes_ = [ml.obj(source.get("hardwareProfile")).get("vmSize") for source in (was, write.properties)]
    if sizes_[0] != sizes_[1]:
        virtual_machines.reboot(write.cloud, write.id)


def _secret(write: Write) -> Document:
    profile = ml.obj(write.properties.get("osProfile"))
    given = {name: profile[name] for name in SECRETS if profile.get(name) is not None}
    return {**(write.cloud.state.get(f"{write.id}/__secret") or {}), **given}


def _find(call: Call) -> Document:
    _id, document = arm_common.locate(TYPE, call, "read")
    if document is None:
        raise arm_common.not_found(TYPE, call)
    return document


def _get(call: Call) -> Answer:
    """Play VirtualMachines_Get with `$expand=instanceView`."""
    document = _find(call)
    if "instanceview" in call.query.get("$expand", "").lower():
        view = _instance_view(call.cloud, document)
        document = {**document, "properties": {**ml.obj(document["properties"]), "instanceView": view}}
    return Answer(200, document)


def _instance_view(cloud: Cloud, document: Document) -> Document:
    properties = ml.obj(document["properties"])
    known = cloud.state.get(f"{document['id']}/__power") or {}
    when = known.get("since") or properties["timeCreated"]
    power = virtual_machines.power(cloud, str(document["id"]))
    state = ml.text(properties["provisioningState"]).lower()
    statuses: list[Json] = [
        {"code": f"ProvisioningState/{state}", "level": "Info", "displayStatus": f"Provisioning {state}", "time": when},
        {"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"},
    ]
    why = virtual_machines.fault(cloud, document)
    if why:  # ours: Azure's machines always get their port
        status = {"code": "ComponentStatus/sshd/failed", "level": "Error", "displayStatus": "SSH not listening"}
        statuses.append({**status, "message": why, "time": when})
    return {
        "computerName": ml.obj(properties["osProfile"])["computerName"],
        "osName": "ubuntu",
        "hyperVGeneration": "V2",
        "statuses": statuses,
    }


def _show_instance(call: Call) -> Answer:
    """Play VirtualMachines_InstanceView."""
    return Answer(200, _instance_view(call.cloud, _find(call)))


def _power(verb: str, call: Call) -> Answer:
    """Play VirtualMachines_Start, _Restart, _PowerOff and _Deallocate: 202 with the URLs to poll."""
    document = _find(call)
    arm_common.refuse_busy(document)
    id_ = str(document["id"])
    virtual_machines.begin(call.cloud, id_, verb)
    return Answer(202, None, operations.begin(call, id_, verb, partial(virtual_machines.end, call.cloud, id_)))


def _run(call: Call) -> Answer:
    """Play VirtualMachines_RunCommand for one script: the host key, which a caller can't learn safely over SSH."""
    document, body = _find(call), call.json()
    id_ = str(document["id"])
    script = "\n".join(ml.text(line) for line in ml.items(body.get("script"))).strip()
    if body.get("commandId") != "RunShellScript" or script != HOST_KEY_SCRIPT:
        message = f"The script {script!r} of {body.get('commandId')} is not played by this emulator; this one is: "
        raise Refusal(501, "NotPlayedByThisEmulator", message + HOST_KEY_SCRIPT)
    if virtual_machines.power(call.cloud, id_) != "running" or call.cloud.ssh is None:
        raise Refusal(409, "OperationNotAllowed", "The operation requires the VM to be running (or set to run).")
    said = f"Enable succeeded: \n[stdout]\n{call.cloud.ssh.host_key(id_)}\n\n[stderr]\n"
    status = {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded"}
    result: Document = {"value": [{**status, "message": said}]}
    call.cloud.state.put(f"{id_}/__run", result, "run-command")
    headers = operations.begin(call, f"{id_}/__run", "run", partial(_nothing, call.cloud))
    return Answer(202, None, {name: value for name, value in headers.items() if name != "Azure-AsyncOperation"})


def _nothing(_cloud: Cloud) -> None:
    """Do nothing: the answer stands already."""


def _going(cloud: Cloud, document: Document) -> None:
    """Take the interfaces along that the machine says so of (`deleteOption`)."""
    profile = ml.obj(ml.obj(document["properties"]).get("networkProfile"))
    for item in map(ml.obj, ml.items(profile.get("networkInterfaces"))):
        if ml.obj(item.get("properties")).get("deleteOption") == "Delete":
            cloud.state.delete_tree(ml.text(item.get("id")))


def _gone(cloud: Cloud, document: Document) -> None:
    virtual_machines.gone(cloud, str(document["id"]))


def _settled(cloud: Cloud, document: Document) -> None:
    virtual_machines.end(cloud, str(document["id"]))


def _extra() -> list[Route]:
    actions = [Route("POST", f"{ONE}/{verb}", partial(_power, verb)) for verb in virtual_machines.VERBS]
    return [
        *actions,
        Route("POST", f"{ONE}/runCommand", _run),
        Route("GET", f"{ONE}/instanceView", _show_instance),
        Route("GET", ONE, _get),
    ]


TYPE = Type(
    KIND,
    Name(
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?",
        "1-64 letters, digits, '_', '.', '-', starting with a letter or digit and ending with one or '_'",
    ),
    _shape,
    outputs=etag,
    top=("location", "tags", "plan", "identity", "zones", "extendedLocation", "placement"),
    put="operation",
    delete="operation",
    secret=_secret,
    going=_going,
    gone=_gone,
    settled=_settled,
    extra=_extra,
)
