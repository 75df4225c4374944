"""Start a supervisor so that it outlives whoever started it: own session, no pipes, no controlling terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from node import layout, processes

STARTED, BUSY, ENDED, FULL = 0, 3, 4, 5
"""Exit codes of `python -m node --detach`: it holds the lock, another one does, the run has already ended, no space."""
_TAIL = 2000


class LaunchError(Exception):
    """The supervisor could not be started; nothing of the run was executed."""


def start(run_dir: Path, python: str | None = None) -> None:
    """Start the supervisor of a run and return when it holds the run's lock.

    Idempotent: a run that is being supervised or has ended is left alone. `python` defaults to this interpreter.
    Raises: LaunchError, with the last lines of `supervisor.log`.
    """
    run_dir = run_dir.absolute()
    if not (run_dir / layout.JOB).is_file():
        raise LaunchError(f"{run_dir / layout.JOB} is missing: write it with node.layout.create first")
    if processes.is_locked(run_dir / layout.LOCK):
        return
    log = os.open(run_dir / layout.SUPERVISOR_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # No timeout: waiting with one polls, up to 50 ms at a time, and the process forks within its first 40 ms.
        # -S: the supervisor needs nothing but the standard library, and starts twice as fast without `site`.
        code = subprocess.run(
            [python or sys.executable, "-S", "-m", "node", "--detach", str(run_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=package_root(),
            env=environment(),
            start_new_session=True,
            check=False,
        ).returncode
    except OSError as error:
        raise LaunchError(f"the supervisor of {run_dir.name} did not start: {error}") from error
    finally:
        os.close(log)
    if code == FULL:
        raise LaunchError(f"{run_dir.name} was not started: its folder can't be written (is the disk full?)")
    if code not in (STARTED, BUSY, ENDED):
        raise LaunchError(f"the supervisor of {run_dir.name} did not start (exit code {code}): {_tail(run_dir)}")


def package_root() -> Path:
    """Return the folder that holds the package `node`, for PYTHONPATH."""
    return Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """Return the launcher's environment as the supervisor gets it: no mark of a run that the launcher is part of."""
    mine = {key: value for key, value in os.environ.items() if key not in (processes.MARK, "PYTHONHOME")}
    return {**mine, processes.SUPERVISOR: "1", "PYTHONPATH": str(package_root())}


def _tail(run_dir: Path) -> str:
    raw = (run_dir / layout.SUPERVISOR_LOG).read_bytes()[-_TAIL:]
    return raw.decode("utf-8", "replace").strip() or "no message"
