"""Start a supervisor so that it outlives whoever started it: own session, no pipes, no controlling terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from node import layout, processes

STARTED, BUSY, ENDED, FULL = 0, 3, 4, 5
"""Exit codes of `python -m node --standby`: it holds the lock, another one does, the run has ended before, no space."""
GO = b"go\n"
"""What a process on standby reads when it shall begin; at the end of its input it goes away."""
_TAIL = 2000


class LaunchError(Exception):
    """The supervisor could not be started; nothing of the run was executed."""


class Standby:
    """A supervisor's process that has loaded its code, and begins when it is told to; untold, it ends with us.

    Loading takes longer than all that a short run's supervisor does, so it goes on beside the preparations.
    """

    def __init__(self, run_dir: Path, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._run_dir = run_dir
        self._process = process

    def begin(self) -> None:
        """Have it take the run's lock; returns when it has. Raises: LaunchError, with what `supervisor.log` says."""
        name = self._run_dir.name
        if not (self._run_dir / layout.JOB).is_file():
            raise LaunchError(f"{self._run_dir / layout.JOB} is missing: write it with node.layout.create first")
        self._close(GO)
        code = self._process.wait()
        if code == FULL:
            raise LaunchError(f"{name} was not started: its folder can't be written (is the disk full?)")
        if code not in (STARTED, BUSY, ENDED):
            raise LaunchError(f"the supervisor of {name} did not start (exit code {code}): {_tail(self._run_dir)}")

    def __enter__(self) -> Standby:  # noqa: PYI034 - typing.Self is younger than the oldest Python here
        return self

    def __exit__(self, *_: object) -> None:
        self._close(b"")
        self._process.wait()

    def _close(self, word: bytes) -> None:
        told = self._process.stdin
        if told is not None and not told.closed:
            with contextlib.suppress(BrokenPipeError):  # it died; its exit code tells
                told.write(word)
                told.flush()
            with contextlib.suppress(BrokenPipeError):
                told.close()


def stand_by(run_dir: Path, python: str | None = None) -> Standby:
    """Start the process that will supervise a run, without having it begin. The run's folder must be there.

    `python` defaults to this interpreter. Raises: LaunchError.
    """
    run_dir = run_dir.absolute()
    try:
        log = os.open(run_dir / layout.SUPERVISOR_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # -S: the supervisor needs nothing but the standard library, and starts twice as fast without `site`.
            process = subprocess.Popen(
                [python or sys.executable, "-S", "-m", "node", "--standby", str(run_dir)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=package_root(),
                env=environment(),
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise LaunchError(f"the supervisor of {run_dir.name} did not start: {error}") from error
    return Standby(run_dir, process)


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
    with stand_by(run_dir, python) as standby:
        standby.begin()


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
