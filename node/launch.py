"""Start a supervisor so that it outlives whoever started it: own session, no pipes, no controlling terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from node import layout, processes

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTED, BUSY, ENDED, FULL = 0, 3, 4, 5
"""Exit codes of `python -m node --standby`: it holds the lock, another one does, the run has ended before, no space."""
GO = b"go\n"
"""What a process on standby reads when it shall begin; at the end of its input it goes away."""
GO_WITH = b"go "
"""The same, with the job's secrets: then a number of bytes, a line's end, and so many bytes (`node.masking.packed`)."""
NOTHING: Mapping[str, str] = {}
_TAIL = 2000


class LaunchError(Exception):
    """The supervisor could not be started; nothing of the run was executed."""


class Standby:
    """A supervisor's process that has loaded its code, and begins when it is told to; untold, it ends with us.

    Loading takes longer than all that a short run's supervisor does, so it goes on beside the preparations.
    """

    def __init__(self, run_dir: Path, process: subprocess.Popen[bytes], secrets: Mapping[str, str] = NOTHING) -> None:
        self.pid = process.pid
        self._secrets = secrets
        self._run_dir = run_dir
        self._process = process

    def begin(self) -> None:
        """Have it take the run's lock; returns when it has. Raises: LaunchError, with what `supervisor.log` says."""
        name = self._run_dir.name
        if not (self._run_dir / layout.JOB).is_file():
            raise LaunchError(f"{self._run_dir / layout.JOB} is missing: write it with node.layout.create first")
        self._close(self._word())
        code = self._process.wait()
        if code == FULL:
            raise LaunchError(f"{name} was not started: its folder can't be written (is the disk full?)")
        # Killed just after it had left the run to its child: then that one holds the lock, and the run goes on.
        if code not in (STARTED, BUSY, ENDED) and not processes.is_locked(self._run_dir / layout.LOCK):
            raise LaunchError(f"the supervisor of {name} did not start (exit code {code}): {_tail(self._run_dir)}")

    def _word(self) -> bytes:
        if not self._secrets:
            return GO
        from node import masking  # most jobs have none

        content = masking.packed(self._secrets)
        return GO_WITH + b"%d\n" % len(content) + content

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


def stand_by(run_dir: Path, python: str | None = None, secrets: Mapping[str, str] = NOTHING) -> Standby:
    """Start the process that will supervise a run, without having it begin. The run's folder must be there.

    `python` defaults to this interpreter. `secrets`: variables of the job whose values go through the pipe by which it
    is told to begin, and nowhere else: not into its environment either. Raises: LaunchError.
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
                env=environment(secrets),
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise LaunchError(f"the supervisor of {run_dir.name} did not start: {error}") from error
    return Standby(run_dir, process, secrets)


def start(run_dir: Path, python: str | None = None, secrets: Mapping[str, str] = NOTHING) -> None:
    """Start the supervisor of a run and return when it holds the run's lock.

    Idempotent: a run that is being supervised or has ended is left alone. `python` and `secrets` as for `stand_by`.
    Raises: LaunchError, with the last lines of `supervisor.log`.
    """
    run_dir = run_dir.absolute()
    if not (run_dir / layout.JOB).is_file():
        raise LaunchError(f"{run_dir / layout.JOB} is missing: write it with node.layout.create first")
    if processes.is_locked(run_dir / layout.LOCK):
        return
    with stand_by(run_dir, python, secrets) as standby:
        standby.begin()


def package_root() -> Path:
    """Return the folder that holds the package `node`, for PYTHONPATH."""
    return Path(__file__).resolve().parent.parent


def environment(secrets: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """Return the launcher's environment as the supervisor gets it: no mark of a run that the launcher is part of.

    Nor a secret of the job, under whichever name: /proc shows a process's first environment for as long as it lives.
    """
    left_out, values = {processes.MARK, "PYTHONHOME", *secrets}, [*secrets.values()]
    mine = {
        key: value
        for key, value in os.environ.items()
        if key not in left_out and not any(secret in value for secret in values)
    }
    return {**mine, processes.SUPERVISOR: "1", "PYTHONPATH": str(package_root())}


def _tail(run_dir: Path) -> str:
    raw = (run_dir / layout.SUPERVISOR_LOG).read_bytes()[-_TAIL:]
    return raw.decode("utf-8", "replace").strip() or "no message"
