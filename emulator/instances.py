"""Compute instances between their documents: are they on, who switched them last, when do they switch themselves.

What ARM keeps is in `emulator.resources.computes.instance`; here is the power: a small document beside each instance,
its SSH server, and (transitions `time` only) a clock for timetables and idle shutdown.
"""

from __future__ import annotations

import logging
import shutil
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from emulator import durations, ml, schedules, ssh
from emulator.routing import Refusal

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.routing import Json

LOG = logging.getLogger(__name__)
ADMIN = "azureuser"
"""The account of every instance (azure-docs how-to-create-compute-instance)."""
LOOK = timedelta(seconds=20)
KIND = "instance"
UNDER_WAY = {"Creating": "Running", "Starting": "Running", "Restarting": "Running", "Stopping": "Stopped"}
"""ComputeInstanceState: what each passing state becomes."""
VERBS = {"start": ("Starting", "Start"), "stop": ("Stopping", "Stop"), "restart": ("Restarting", "Restart")}


def record(cloud: Cloud, id_: str) -> dict[str, Json]:
    """Return `state` and `lastOperation` of an instance, and `since` when it is in that state."""
    return cloud.state.get(_key(id_)) or {"state": "Creating", "lastOperation": None, "since": ml.stamp(cloud.now())}


def running(cloud: Cloud, id_: str) -> bool:
    """Tell whether the instance is on."""
    return record(cloud, id_)["state"] == "Running"


def begin(cloud: Cloud, id_: str, verb: str, trigger: str = "User") -> None:
    """Let an instance start, stop or restart; `end` makes it done. Raises `Refusal` 400 or 409 where it can't now."""
    with cloud.state.transaction():
        was, name = ml.text(record(cloud, id_)["state"]), id_.rpartition("/")[2]
        if was in UNDER_WAY:
            raise Refusal(409, "Conflict", f"The compute instance {name} is {was.lower()}. Try again when it is done.")
        if verb == "start" and was != "Stopped":
            # Code and words as reported in github.com/microsoft/vscode-tools-for-ai issues 2096 and 1100.
            message = f"Start Azure ML Compute Instance is only allowed when the instance {name} is in 'stopped' state"
            raise Refusal(400, "StartComputeInstanceOnlyAllowedInStoppedState", message)
        if verb != "start" and was != "Running":  # the code is ours, after the one above
            verb_code = f"{VERBS[verb][1]}ComputeInstanceOnlyAllowedInRunningState"
            words = f"{VERBS[verb][1]} Azure ML Compute Instance is only allowed when the instance {name} is in"
            raise Refusal(400, verb_code, f"{words} 'running' state")
        state, operation = VERBS[verb]
        _put(cloud, id_, state, (operation, "InProgress", trigger))
    if state in {"Stopping", "Restarting"}:
        if cloud.ssh is not None:
            cloud.ssh.stop(id_)
        if cloud.clusters is not None:
            cloud.clusters.compute_stopped(id_)


def end(cloud: Cloud, id_: str) -> None:
    """Bring what was begun to its end; safe to repeat."""
    document = cloud.state.get(id_)
    if document is None:
        return
    with cloud.state.transaction():
        known = record(cloud, id_)
        state = UNDER_WAY.get(ml.text(known["state"]))
        if state is not None:
            last = ml.obj(known.get("lastOperation"))
            name, trigger = ml.text(last.get("operationName")), ml.text(last.get("operationTrigger"))
            _put(cloud, id_, state, (name or "Create", "Succeeded", trigger or "User"))
    if running(cloud, id_):
        open_door(cloud, document)
        if cloud.clusters is not None:
            cloud.clusters.kick()  # jobs may wait for it
    elif cloud.ssh is not None and cloud.ssh.find(id_) is not None:
        cloud.ssh.stop(id_)


def open_door(cloud: Cloud, document: dict[str, Json]) -> None:
    """Start the SSH server of a running instance that has one; quiet when it runs."""
    id_ = str(document["id"])
    properties = ml.obj(document["properties"])
    inner = ml.obj(properties["properties"])
    settings = ml.obj(inner.get("sshSettings"))
    closed = settings.get("sshPublicAccess") != "Enabled" or inner.get("enableNodePublicIp") is False
    if cloud.ssh is None or closed or properties.get("disableLocalAuth") is True or not running(cloud, id_):
        return
    keys = (ml.text(settings.get("adminPublicKey")),)
    try:
        cloud.ssh.start(ssh.Server(id_, str(home(cloud, id_)), ADMIN, keys=keys))
    except ssh.SshError as error:
        LOG.warning("%s", error)


def gone(cloud: Cloud, id_: str) -> None:
    """Take an instance away, with its disk."""
    if cloud.ssh is not None:
        cloud.ssh.remove(id_)
    shutil.rmtree(home(cloud, id_), ignore_errors=True)


def home(cloud: Cloud, id_: str) -> Path:
    """Return the folder that is an instance's disk."""
    return cloud.home / "instances" / ssh.key(id_)


def _key(id_: str) -> str:
    return f"{id_}/__instance"


def _put(cloud: Cloud, id_: str, state: str, operation: tuple[str, str, str]) -> None:
    name, status, trigger = operation
    now = ml.stamp(cloud.now())
    last: dict[str, Json] = {
        "operationName": name,
        "operationTime": now,
        "operationStatus": status,
        "operationTrigger": trigger,
    }
    cloud.state.put(_key(id_), {"state": state, "since": now, "lastOperation": last}, KIND)


class Instances:
    """The clock of all instances. Nothing happens by itself unless transitions take time."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked = cloud.now()
        self._used: dict[str, datetime] = {}

    def start(self) -> None:
        """Repair what a kill left in between, then look after the instances in the background."""
        homes = {ssh.key(key.rpartition("/")[0]) for key, _ in self._cloud.state.all(KIND)}
        for folder in (self._cloud.home / "instances").glob("*"):
            if folder.name not in homes:
                shutil.rmtree(folder, ignore_errors=True)
        for key, _ in self._cloud.state.all(KIND):
            end(self._cloud, key.rpartition("/")[0])  # no operation is under way any more: `arm.resume` ended them
        if self._cloud.transitions == "time":
            self._thread = threading.Thread(target=self._run, name="instances", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop looking; the instances stay as they are."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def tick(self) -> list[tuple[str, str]]:
        """Look once: do what timetables and idle times ask for; returns the instances and what was done."""
        now, done = self._cloud.now(), []
        for key, _ in self._cloud.state.all(KIND):
            id_ = key.rpartition("/")[0]
            document = self._cloud.state.get(id_)
            if document is None or ml.obj(document["properties"]).get("provisioningState") != "Succeeded":
                continue
            verb, trigger = self._timetable(document, now) or self._idle(document, now) or ("", "")
            if verb and running(self._cloud, id_) == (verb == "stop"):
                begin(self._cloud, id_, verb, trigger)
                end(self._cloud, id_)
                self._used.pop(id_, None)
                done.append((str(document["id"]), verb))
        self._looked = now
        return done

    def _timetable(self, document: dict[str, Json], now: datetime) -> tuple[str, str] | None:
        """Return the last action that was due since the last look."""
        properties = ml.obj(document["properties"])
        made = ml.moment(ml.text(properties["createdOn"]))
        entries = ml.items(ml.obj(ml.obj(properties["properties"]).get("schedules")).get("computeStartStop"))
        due = [
            ml.text(entry.get("action")).lower()
            for minute in schedules.minutes(self._looked, now)
            for entry in map(ml.obj, entries)
            if schedules.fires(entry, minute, made)
        ]
        return (due[-1], "Schedule") if due else None

    def _idle(self, document: dict[str, Json], now: datetime) -> tuple[str, str] | None:
        """Say that nobody was logged in, and no job ran, for the idle time."""
        id_ = str(document["id"]).lower()
        wanted = ml.text(ml.obj(ml.obj(document["properties"])["properties"]).get("idleTimeBeforeShutdown"))
        idle = durations.parse(wanted) if wanted else None
        known = record(self._cloud, id_)
        jobs = self._cloud.clusters is not None and self._cloud.clusters.busy(id_)
        if jobs or (self._cloud.ssh is not None and self._cloud.ssh.sessions(str(document["id"]))):
            self._used[id_] = now
        used = max(self._used.get(id_, now - timedelta(days=365)), ml.moment(ml.text(known["since"])))
        if idle is None or known["state"] != "Running" or now - used < idle:
            return None
        return "stop", "IdleShutdown"

    def _run(self) -> None:
        while not self._stopping.wait(LOOK.total_seconds()):
            try:
                self.tick()
            except Exception:  # the clock must outlive one bad instance; the next look is later
                LOG.exception("a look at the compute instances failed")
