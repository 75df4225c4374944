"""Who makes a run's next attempt when nobody is looking: a process of its own, under the node supervisor, with a lease.

It lives below the run's folder, follows the run, and ends with it. Whoever looks at a run (`ensure`) starts one where
there is none, so a killed driver delays an attempt and loses nothing. Should there ever be two, they do the same thing:
attempts are made by name, once. What signs us in is never written down: it is in the supervisor's own environment.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from node import control, launch, layout, processes
from node import status as statuses
from runtime import attempts, crash
from runtime.clock import stamp
from runtime.errors import ConnectionLostError, RefusedError, StoreError, TrainyardError
from runtime.project import Project
from runtime.runs import Run, observe
from runtime.site import Site, open_site
from runtime.store import Lease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.records import Record
    from runtime.store import Store
    from runtime.wire import Object

STARTING = "driving"
"""Locked by the process that starts a driver."""
FOLDER = "driver-"
PROJECT, RUN, OWNER = "DRIVER_PROJECT", "DRIVER_RUN", "DRIVER_OWNER"
INHERITED = ("ARM_", "AZURE_", "TRAINYARD_")
"""Variables that sign us in or lead to the emulator; the node supervisor keeps them from every job."""
TERM_S = 180.0
"""A lease that was not renewed for so long has lapsed, whatever its holder does."""
LOOK_S: Mapping[str, float] = {"emulator": 0.5, "azure": 15.0}
AWAY_S: Mapping[str, float] = {"emulator": 600.0, "azure": 24 * 3600.0}
"""How long a service may be away before the driver leaves the rest to whoever looks next."""
AWAY_PAUSE_S = 30.0
DONE, REFUSED = 0, 3
"""Exit codes of the process."""


def wanted(record: Record) -> bool:
    """Tell whether this project is to drive a run: one that it submitted, or whose next attempt it began. Pure."""
    mine = record.sent is not None or attempts.between(record)
    return record.retry == "preemption" and not record.terminal and not record.lost and mine


def ensure(site: Site, record: Record) -> str | None:
    """Have a driver where one is needed; returns what went wrong, None when all is well. Idempotent."""
    if not wanted(record):
        return None
    store = site.store
    if _held(site, record.id, store.lease(record.id)):
        return None
    try:
        mark = processes.acquire(store.run_folder(record.id) / STARTING)
        if mark is None:
            return None  # another process is starting it right now
        try:
            return _start(site, record)
        finally:
            os.close(mark)
    except OSError as error:
        return f"the driver of {record.id} could not be started: {error.strerror or error}"


def _start(site: Site, record: Record) -> str | None:
    store, before = site.store, site.store.lease(record.id)
    if _held(site, record.id, before):
        return None
    if before is not None and (store.folder / record.id / before.folder).is_dir():
        # One that lives and sleeps shall not wake up beside the new one.
        control.cancel(store.folder / record.id / before.folder, "another driver took over")
    folder = _next_folder(store, record.id)
    lease = Lease(secrets.token_hex(8), folder.name, processes.boot_id(), site.clock.monotonic() + TERM_S)
    layout.create(folder, describe(site.project, record, lease.owner))
    if not store.take_lease(record.id, lease, before):
        return None
    crash.point("driver-leased")
    try:
        launch.start(folder)
    except launch.LaunchError as error:
        return f"the driver of {record.id} could not be started: {error}"
    return None


def _next_folder(store: Store, run_id: str) -> Path:
    numbers = [int(path.name.removeprefix(FOLDER)) for path in (store.folder / run_id).glob(f"{FOLDER}[0-9]*")]
    return store.folder / run_id / f"{FOLDER}{max(numbers, default=0) + 1}"


def describe(project: Project, record: Record, owner: str) -> Object:
    """Write the driver's job: no text of the user's is in its command. Pure."""
    return {
        "run_id": f"{record.id}-driver",
        "command": 'exec "$DRIVER_PYTHON" -m runtime.driver',
        "environment_variables": {
            "DRIVER_PYTHON": sys.executable,
            "PYTHONPATH": str(launch.package_root()),
            PROJECT: str(project.root),
            RUN: record.id,
            OWNER: owner,
        },
        "environment": None,
        "grace_s": 1,
    }


def _held(site: Site, run_id: str, lease: Lease | None) -> bool:
    """Tell whether somebody drives the run: proven by the lock of its supervisor, and not asleep for long.

    One that ended because it may not sign in is not followed by another at once.
    """
    if lease is None or lease.boot != processes.boot_id() or site.clock.monotonic() >= lease.until:
        return False
    folder = site.store.folder / run_id / lease.folder
    if processes.is_locked(folder / layout.LOCK):
        return True
    try:
        status = statuses.read(folder)
    except ValueError:
        return False
    return status is not None and status.terminal and status.exit_code == REFUSED


def drive(site: Site, run_id: str, owner: str) -> int:
    """Follow a run to its end, making its attempts; returns an exit code. Leaves when the lease is another's."""
    clock, away_since, renewed, pause = site.clock, None, -TERM_S, 0.0
    while True:
        if clock.monotonic() - renewed >= TERM_S / 3:
            renewed = clock.monotonic()
            if not site.store.renew_lease(run_id, owner, renewed + TERM_S):
                return DONE
        record = site.store.get(run_id)
        if record is None or not wanted(record):
            break
        cloud = record.cloud or "azure"
        try:
            pause, away_since = min(LOOK_S[cloud], _once(site, record)), None
        except ConnectionLostError:
            away_since = clock.monotonic() if away_since is None else away_since
            if clock.monotonic() - away_since > AWAY_S[cloud]:
                break
            pause = min(AWAY_PAUSE_S, max(LOOK_S[cloud], pause * 2))
        except RefusedError as refused:
            words = str(refused).splitlines()[0]
            site.store.update(run_id, {"phase": "intent"}, reason=f"waiting for the next attempt: {words}")
            layout.note(f"{run_id}: {refused}")
            return REFUSED
        clock.sleep(pause)
    site.store.drop_lease(run_id, owner)
    return DONE


def _once(site: Site, record: Record) -> float:
    """Look, and make the attempt that is due; returns how soon to look again, in seconds, at the earliest."""
    run, _ = observe(Run(record, site), drive=False)
    if not attempts.between(run.record):
        return TERM_S
    wait = attempts.due_s(run.record, stamp(site.clock.now()))
    if wait > 0:
        return wait
    attempts.step(site, run.record)
    return 0.0


def sign_in() -> None:
    """Take over what signs us in from the supervisor that started us: from memory, never from a file."""
    status = statuses.read(Path.cwd().parent)
    if status is None or status.supervisor is None:
        return
    raw = Path(f"/proc/{status.supervisor.pid}/environ").read_bytes()
    for entry in raw.split(b"\0"):
        name, _, value = os.fsdecode(entry).partition("=")
        if name.startswith(INHERITED) and name not in (processes.MARK, processes.SUPERVISOR):
            os.environ.setdefault(name, value)


def main() -> int:
    """Be the driver that this process's environment describes."""
    try:
        sign_in()
        crash.point("driver-started")
        return drive(open_site(Project(Path(os.environ[PROJECT]))), os.environ[RUN], os.environ[OWNER])
    except StoreError as error:
        layout.note(str(error))
        return DONE if not (Path(os.environ[PROJECT]) / "Pulumi.yaml").exists() else 1
    except (TrainyardError, OSError) as error:
        layout.note(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
