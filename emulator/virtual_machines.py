"""The machines of Microsoft.Compute between their documents: are they on, and the door that SSH comes in by.

What ARM keeps is in `emulator.resources.virtual_machine`. A machine with a public address is a real SSH server on it
(`emulator.ssh`), at the port that its cloud-init file names, else 22; one without can't be reached from here, as in
Azure. The power is a small document beside the machine, so that it survives the emulator.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import shutil
from typing import TYPE_CHECKING

from emulator import ml, ssh
from emulator.routing import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.routing import Json

LOG = logging.getLogger(__name__)
TYPE_NAME = "Microsoft.Compute/virtualMachines"
INTERFACE = "Microsoft.Network/networkInterfaces"
KIND = "virtual-machine"
UNDER_WAY = {"starting": "running", "stopping": "stopped", "deallocating": "deallocated"}
"""PowerState codes of an instance view (azure-docs, "States and billing status of Azure Virtual Machines")."""
VERBS = {"start": "starting", "restart": "starting", "powerOff": "stopping", "deallocate": "deallocating"}
PORT = re.compile(
    r"path:\s*/etc/ssh/sshd_config\.d/[\w.-]+\.conf\s*\n\s*content:\s*\|\s*\n\s*Port (\d{1,5})\s*$", re.MULTILINE
)
"""The one thing of a cloud-init file that is played."""
SSH_PORT = 22


def power(cloud: Cloud, id_: str) -> str:
    """Return the machine's power state; a new one starts."""
    return ml.text((cloud.state.get(_key(id_)) or {}).get("state")) or "starting"


def begin(cloud: Cloud, id_: str, verb: str) -> None:
    """Let a machine start, restart, stop or deallocate; `end` makes it done. Raises `Refusal` 409."""
    with cloud.state.transaction():
        was = power(cloud, id_)
        if was in UNDER_WAY:
            message = f"Operation '{verb}' is not allowed on VM '{_name(id_)}' since the VM is {was}."
            raise Refusal(409, "OperationNotAllowed", message)
        if verb == "restart" and was != "running":
            raise Refusal(409, "OperationNotAllowed", "The operation requires the VM to be running (or set to run).")
        if (verb, was) in {("start", "running"), ("powerOff", "deallocated")}:  # nothing to do, and not refused
            return
        _put(cloud, id_, VERBS[verb])
    if verb != "start" and cloud.ssh is not None:
        cloud.ssh.stop(id_)


def reboot(cloud: Cloud, id_: str) -> None:
    """Let a running machine start again at `end`, as Azure does for another size."""
    if power(cloud, id_) == "running":
        _put(cloud, id_, "starting")


def end(cloud: Cloud, id_: str) -> None:
    """Bring what was begun to its end; safe to repeat."""
    document = cloud.state.get(id_)
    if document is None:
        return
    with cloud.state.transaction():
        was = power(cloud, id_)
        if was in UNDER_WAY:
            _put(cloud, id_, UNDER_WAY[was])
    if was == "starting" and cloud.ssh is not None:
        cloud.ssh.stop(id_)
    open_door(cloud, document)


def open_door(cloud: Cloud, document: dict[str, Json]) -> None:
    """Start the SSH server of a running machine with a public address; shut it where it has none any more."""
    id_ = str(document["id"])
    if cloud.ssh is None or power(cloud, id_) != "running":
        return
    where = address(cloud, document)
    if where is None:
        cloud.ssh.stop(id_)
        return
    secret = cloud.state.get(f"{id_}/__secret") or {}
    profile = ml.obj(ml.obj(document["properties"])["osProfile"])
    linux = ml.obj(profile.get("linuxConfiguration"))
    keys = [ml.text(ml.obj(item).get("keyData")) for item in ml.items(ml.obj(linux.get("ssh")).get("publicKeys"))]
    server = ssh.Server(
        id_,
        str(home(cloud, id_)),
        ml.text(profile["adminUsername"]),
        keys=tuple(keys),
        password="" if linux.get("disablePasswordAuthentication") is True else ml.text(secret.get("adminPassword")),
        address=where,
        port=port(ml.text(secret.get("customData"))),
        exact=True,
    )
    try:
        cloud.ssh.start(server)
        _put(cloud, id_, "running")
    except ssh.SshError as error:
        LOG.warning("%s", error)
        _put(cloud, id_, "running", str(error))


def fault(cloud: Cloud, document: dict[str, Json]) -> str:
    """Say why nobody can log in to a running machine with a public address; empty when there is nothing to say."""
    id_ = str(document["id"])
    if power(cloud, id_) != "running" or address(cloud, document) is None:
        return ""
    if cloud.ssh is None or cloud.ssh.listening(id_):
        return ""
    known = ml.text((cloud.state.get(_key(id_)) or {}).get("fault"))
    return known or f"The SSH server of '{_name(id_)}' is not listening. Restart the machine."


def gone(cloud: Cloud, id_: str) -> None:
    """Take a machine away, with its disk."""
    if cloud.ssh is not None:
        cloud.ssh.remove(id_)
    shutil.rmtree(home(cloud, id_), ignore_errors=True)


def home(cloud: Cloud, id_: str) -> Path:
    """Return the folder that is a machine's disk."""
    return cloud.home / "virtual-machines" / ssh.key(id_)


def port(custom_data: str) -> int:
    """Return the port that a cloud-init file gives to sshd, else 22."""
    try:
        text = base64.b64decode(custom_data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return SSH_PORT
    found = PORT.search(text) if text.startswith("#cloud-config") else None
    return int(found[1]) if found else SSH_PORT


def interfaces(document: dict[str, Json]) -> list[str]:
    """List the ids of a machine's interfaces."""
    profile = ml.obj(ml.obj(document.get("properties")).get("networkProfile"))
    return [ml.text(ml.obj(item).get("id")) for item in ml.items(profile.get("networkInterfaces"))]


def of_interface(cloud: Cloud, id_: str) -> dict[str, Json] | None:
    """Return the machine that has this interface, or None."""
    for _, document in cloud.state.all("arm"):
        if document.get("type") == TYPE_NAME and id_.lower() in [found.lower() for found in interfaces(document)]:
            return document
    return None


def address(cloud: Cloud, document: dict[str, Json]) -> str | None:
    """Return a machine's public address, or None."""
    for id_ in interfaces(document):
        nic = cloud.state.get(id_) or {}
        for item in map(ml.obj, ml.items(ml.obj(nic.get("properties")).get("ipConfigurations"))):
            public = ml.obj(ml.obj(item.get("properties")).get("publicIPAddress")).get("id")
            found = cloud.state.get(ml.text(public)) if public else None
            if found is not None:
                return ml.text(ml.obj(found["properties"])["ipAddress"])
    return None


def _put(cloud: Cloud, id_: str, state: str, why: str = "") -> None:
    known: dict[str, Json] = {"state": state, "since": ml.stamp(cloud.now())}
    cloud.state.put(_key(id_), known | ({"fault": why} if why else {}), KIND)


def _key(id_: str) -> str:
    return f"{id_}/__power"


def _name(id_: str) -> str:
    return id_.rpartition("/")[2]
