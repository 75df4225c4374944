"""Run one attempt of a run from its `job.json` to a terminal status, whatever happens to whoever started it.

Order: environment, tracking endpoint, command, watch (cancel, timeout, exit), reap what the command left, final status.
The caller holds the run's lock for as long as this process lives. Everything that goes wrong ends in a status with a
reason, a full disk included, as far as the disk allows.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from node import command, control, jobs_environment, layout, processes, reading, tree
from node import job as jobs
from node import status as statuses
from node.status import CANCELED, COMPLETED, FAILED, FINALIZING, PREPARING, RUNNING, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node.job import Job
    from node.tracking import Tracking

_HEARTBEAT_S = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Stop(Exception):  # noqa: N818
    """The run ends here, with this state and reason."""

    def __init__(self, state: str, reason: str, exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.state, self.reason, self.exit_code = state, reason, exit_code


def supervise(run_dir: Path, before: Status | None) -> None:
    """Supervise a run to its end; `before` is the status that a dead supervisor left, if any."""
    if before is not None:
        # That one may have started the command: an attempt is executed at most once.
        control.kill_leftovers(before)
        (run_dir / layout.RESERVE).unlink(missing_ok=True)
        statuses.write(run_dir, reading.verdict(run_dir, before))
        return
    _Supervisor(run_dir).run()


class _Supervisor:
    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.told_to_stop = False
        self.quit = threading.Event()
        me = processes.identity(os.getpid())
        self.status = Status(
            PREPARING,
            supervisor=statuses.Supervisor(os.getpid(), me.start_time if me else 0, processes.boot_id()),
            times={"created": self.created(), "preparing": layout.utc_now()},
            mark=os.urandom(16).hex(),
        )
        self.began: float | None = None
        self.tracking: Tracking | None = None

    def created(self) -> str:
        try:
            return layout.iso((self.run_dir / layout.JOB).stat().st_mtime)
        except OSError:
            return layout.utc_now()

    def run(self) -> None:
        processes.forbid_core_dumps()
        for number in (signal.SIGHUP, signal.SIGINT):
            # Handled by doing nothing, not ignored: ignored signals would be ignored in the job as well.
            signal.signal(number, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, self.on_term)
        try:
            end = self.attempt()
        except Stop as stop:
            end = stop
        except OSError as error:
            end = Stop(FAILED, _describe(error))
        except ValueError as error:
            end = Stop(FAILED, str(error))
        except Exception as error:  # noqa: BLE001  (a defect of ours must still end in a status)
            layout.note("".join(traceback.format_exception(error)))
            end = Stop(FAILED, f"the supervisor failed: {type(error).__name__}: {error}")
        self.finish(end)

    def on_term(self, _number: int, _frame: object) -> None:
        self.told_to_stop = True

    def write(self, **changes: object) -> None:
        self.status = replace(self.status, sequence=self.status.sequence + 1, **changes)  # type: ignore[arg-type]
        statuses.write(self.run_dir, self.status)

    def attempt(self) -> Stop:
        self.write()
        job = jobs.read(self.run_dir)
        self.status = replace(self.status, times={**self.status.times, "created": job.created or self.created()})
        self.check_stop()
        threading.Thread(target=self.beat, daemon=True).start()
        self.prepare_folders(job)
        interpreter = self.environment(job)
        self.check_stop()
        return self.execute(job, interpreter)

    def beat(self) -> None:
        path = self.run_dir / layout.HEARTBEAT
        while True:
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                os.close(fd)
                os.utime(path)
            except OSError as error:
                layout.note(f"heartbeat: {error}")
            if self.quit.wait(_HEARTBEAT_S):
                return

    def stop_reason(self) -> Stop | None:
        canceled = control.cancel_reason(self.run_dir)
        if canceled is not None:
            return Stop(CANCELED, canceled)
        if self.told_to_stop:
            return Stop(FAILED, "the supervisor was told to stop (SIGTERM): the machine is going down")
        return None

    def check_stop(self) -> None:
        stop = self.stop_reason()
        if stop is not None:
            raise stop

    def prepare_folders(self, job: Job) -> None:
        work = layout.workdir(self.run_dir, job.code)
        layout.private_dir(work)
        for name in layout.COLLECTED:
            layout.private_dir(work / name)
        for path in job.outputs.values():
            layout.private_dir(self.run_dir / path)
        for log in (layout.USER_LOG, layout.BUILD_LOG):
            layout.private_dir((self.run_dir / log).parent)

    def environment(self, job: Job) -> str | None:
        """Return the interpreter for the job, None for whatever is on PATH."""
        plan = job.environment
        if plan.interpreter is not None:
            if not os.access(plan.interpreter, os.X_OK):
                raise Stop(FAILED, f"the environment's interpreter {plan.interpreter} is missing or not executable")
            self.status = replace(
                self.status, environment=statuses.BuiltEnvironment("user-managed", plan.interpreter, True, 0.0)
            )
            return plan.interpreter
        if plan.cache is None:
            return None
        from node import environments, overlay

        with (self.run_dir / layout.BUILD_LOG).open("ab") as log:
            try:
                built = environments.ensure(
                    plan.python, plan.pip, self.run_dir / plan.cache, log, lambda: self.stop_reason() is not None
                )
            except environments.EnvironmentRefused as error:
                raise Stop(FAILED, str(error)) from error
            except environments.BuildStopped:
                raise (self.stop_reason() or Stop(CANCELED, "")) from None
        interpreter = str(built.interpreter)
        self.status = replace(
            self.status, environment=statuses.BuiltEnvironment(built.id, interpreter, built.cached, built.built_s)
        )
        return str(overlay.make(self.run_dir, built.path) or interpreter)

    def execute(self, job: Job, interpreter: str | None) -> Stop:
        from node.tracking import Tracking

        processes.adopt_orphans()
        self.tracking = Tracking(self.run_dir, job)
        text, bound = command.render(job.command, job.inputs, job.outputs)
        layout.write_bytes(self.run_dir / layout.COMMAND, text.encode("utf-8", "surrogatepass") + b"\n")
        variables = jobs_environment.build(
            job, interpreter, self.tracking.variables(), {**bound, processes.MARK: str(self.status.mark)}
        )
        self.began = time.monotonic()
        running = tree.start(self.run_dir, job, variables)
        try:
            return self.accompany(job, running)
        except BaseException:
            running.end(job.grace_s)
            raise

    def accompany(self, job: Job, running: tree.Tree) -> Stop:
        started = processes.start_time(running.pid)
        self.write(
            state=RUNNING,
            job=statuses.JobProcess(running.pid, running.pid, started or 0),
            times={**self.status.times, "running": layout.utc_now()},
        )
        if self.tracking is not None:
            self.tracking.serve()
        return self.watch(job, running)

    def watch(self, job: Job, running: tree.Tree) -> Stop:
        deadline = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        stop: Stop | None = None
        while running.exit_code is None:
            running.wait()
            if stop is None:
                stop = self.stop_reason()
                if stop is None and deadline is not None and time.monotonic() >= deadline and running.exit_code is None:
                    stop = Stop(FAILED, f"timeout: the command ran longer than {job.timeout_s:g} s")
                if stop is not None:
                    running.end(job.grace_s)
        duration = time.monotonic() - (self.began or 0.0)
        self.status = replace(self.status, duration_s=round(duration, 3))
        if stop is None:
            stop = self.stop_reason() if running.exit_code != 0 else None
        self.finalizing(running.exit_code)
        running.end(job.grace_s)
        if stop is not None:
            return Stop(stop.state, stop.reason, running.exit_code)
        return self.verdict(running)

    def finalizing(self, exit_code: int | None) -> None:
        try:
            self.write(state=FINALIZING, exit_code=exit_code)
        except OSError as error:
            # Only the end must be told; the reserve is for that.
            layout.note(f"status: {error}")

    def verdict(self, running: tree.Tree) -> Stop:
        """Tell how the command ended by itself."""
        code, full = running.exit_code or 0, _is_full(self.run_dir)
        lost = self.tracking.trouble() if self.tracking else None
        if code == 0 and full:
            return Stop(FAILED, "the disk of the run is full (ENOSPC): its log or outputs may be cut short", code)
        if code == 0 and lost:
            return Stop(FAILED, f"metrics could not be written: {lost}", code)
        if code == 0:
            return Stop(COMPLETED, "", code)
        why = (
            f"the command was ended by signal {running.signal_name}"
            if running.signal_name
            else (f"the command exited with code {code}")
        )
        return Stop(FAILED, f"{why}; the disk of the run is full (ENOSPC)" if full else why, code)

    def finish(self, end: Stop) -> None:
        if self.tracking is not None:
            self.tracking.close()
        self.quit.set()
        self.until_written(lambda: self.write_end(end))
        (self.run_dir / layout.RESERVE).unlink(missing_ok=True)

    def write_end(self, end: Stop) -> None:
        self.write(
            state=end.state,
            reason=end.reason or None,
            exit_code=self.status.exit_code if end.exit_code is None else end.exit_code,
            times={**self.status.times, "ended": layout.utc_now()},
        )

    def until_written(self, write: Callable[[], None]) -> None:
        """Write the end; on a full disk give back the reserved blocks first."""
        try:
            write()
        except OSError as error:
            (self.run_dir / layout.RESERVE).unlink(missing_ok=True)
            layout.note(f"final status: {error}")
            write()


def _describe(error: OSError) -> str:
    if error.errno in _FULL:
        return f"the disk of the run is full (ENOSPC): {error}"
    return f"the run could not be prepared: {error}"


def _is_full(run_dir: Path) -> bool:
    """Tell whether another block can't be written where the run's files are."""
    probe = run_dir / f".probe.{os.getpid()}"
    try:
        layout.write_bytes(probe, b"\0" * 4096)
    except OSError as error:
        return error.errno in _FULL
    probe.unlink(missing_ok=True)
    return False
