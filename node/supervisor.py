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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from node import command, control, jobs_environment, layout, processes, reading, starting, tree
from node import job as jobs
from node import status as statuses
from node.status import CANCELED, COMPLETED, FAILED, FINALIZING, PREPARING, RUNNING, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from node.docker import Container
    from node.job import Job
    from node.masking import Logs
    from node.tracking import Tracking

_HEARTBEAT_S = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Stop(Exception):  # noqa: N818
    """The run ends here, with this state and reason."""

    def __init__(self, state: str, reason: str, exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.state, self.reason, self.exit_code = state, reason, exit_code


def supervise(run_dir: Path, before: Status | None, secrets: Mapping[str, str]) -> None:
    """Supervise a run to its end; `before` is the status that a dead supervisor left, if any.

    `secrets`: variables of the job that are written nowhere.
    """
    if before is not None:
        # That one may have started the command: an attempt is executed at most once.
        control.kill_leftovers(before)
        (run_dir / layout.RESERVE).unlink(missing_ok=True)
        statuses.write(run_dir, reading.verdict(run_dir, before))
        return
    _Supervisor(run_dir, secrets).run()


class _Supervisor:
    def __init__(self, run_dir: Path, secrets: Mapping[str, str]) -> None:
        self.run_dir = run_dir
        self.secrets = secrets
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
        self.container: Container | None = None
        self.told: Mapping[str, str] = {}

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
            import traceback

            layout.note(self.masked("".join(traceback.format_exception(error))))
            end = Stop(FAILED, f"the supervisor failed: {type(error).__name__}: {error}")
        self.finish(end)

    def masked(self, text: str) -> str:
        if not self.secrets:
            return text
        from node.masking import Mask

        return Mask(self.secrets.values()).text(text)

    def on_term(self, _number: int, _frame: object) -> None:
        self.told_to_stop = True

    def write(self, **changes: object) -> None:
        self.status = replace(self.status, sequence=self.status.sequence + 1, **changes)  # type: ignore[arg-type]
        statuses.write(self.run_dir, self.status)

    def attempt(self) -> Stop:
        self.write()
        job = jobs.read(self.run_dir)
        self.check_secrets(job)
        self.status = replace(self.status, times={**self.status.times, "created": job.created or self.created()})
        self.check_stop()
        threading.Thread(target=self.beat, daemon=True).start()
        self.prepare_folders(job)
        interpreter = self.environment(job)
        self.check_stop()
        return self.execute(job, interpreter)

    def check_secrets(self, job: Job) -> None:
        if job.secrets or self.secrets:
            from node import masking

            lacking = masking.lacking(job.secrets, self.secrets)
            if lacking is not None:
                raise Stop(FAILED, lacking)

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
        for folder, its in starting.places(self.run_dir, job):
            work = layout.workdir(folder, its.code)
            for below in (*(work / name for name in layout.COLLECTED), (folder / layout.USER_LOG).parent):
                layout.private_dir(below)
            for name, path in its.outputs.items():
                layout.private_dir(Path(path).parent if name in its.files else Path(path))
        layout.private_dir((self.run_dir / layout.BUILD_LOG).parent)

    def environment(self, job: Job) -> str | None:
        """Return the interpreter for the job, None for whatever is on PATH, or the image's own in a container."""
        from node import installers, preparing

        try:
            ready = preparing.prepare(self.run_dir, job, str(self.status.mark), lambda: self.stop_reason() is not None)
        except installers.EnvironmentRefused as error:
            raise Stop(FAILED, str(error)) from error
        except installers.BuildStopped:
            raise (self.stop_reason() or Stop(CANCELED, "")) from None
        self.container, self.told = ready.container, ready.variables
        self.status = replace(self.status, environment=ready.built)
        return ready.interpreter

    def execute(self, job: Job, interpreter: str | None) -> Stop:
        from node.tracking import Tracking

        processes.adopt_orphans()
        self.tracking = Tracking(self.run_dir, job, self.secrets.values())
        text, bound = command.render(job.command, job.inputs, job.outputs)
        layout.write_bytes(self.run_dir / layout.COMMAND, text.encode("utf-8", "surrogatepass") + b"\n", durable=False)
        told = {**self.told, **bound, **self.secrets, processes.MARK: str(self.status.mark)}
        variables = jobs_environment.build(job, interpreter, self.tracking.variables(), told)
        starts = starting.starts(self.run_dir, job, variables, inside=self.container is not None)
        if self.container is not None:
            starts = self.container.starts(starts)
        self.began = time.monotonic()
        running = tree.start(self.run_dir, job, starts, self.logs())
        try:
            return self.accompany(job, running)
        except BaseException:
            running.end(job.grace_s)
            raise

    def logs(self) -> Logs | None:
        """Return what the job's output passes through; None where it goes straight into the logs."""
        if not self.secrets:
            return None
        from node import masking

        return masking.Logs(masking.Mask(self.secrets.values()))

    def accompany(self, job: Job, running: tree.Tree) -> Stop:
        first, *others = (statuses.JobProcess(pid, pid, processes.start_time(pid) or 0) for pid in running.leaders)
        self.write(
            state=RUNNING,
            job=first,
            others=tuple(others),
            times={**self.status.times, "running": layout.utc_now()},
        )
        if self.tracking is not None:
            self.tracking.serve()
        return self.watch(job, running)

    def watch(self, job: Job, running: tree.Tree) -> Stop:
        deadline = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        stop: Stop | None = None
        while stop is None and not starting.is_over(self.run_dir, job, running):
            running.wait()
            stop = self.stop_reason()
            late = deadline is not None and time.monotonic() >= deadline
            if stop is None and late and not starting.is_over(self.run_dir, job, running):
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
        return self.verdict(job, running)

    def finalizing(self, exit_code: int | None) -> None:
        try:
            self.write(state=FINALIZING, exit_code=exit_code)
        except OSError as error:
            # Only the end must be told; the reserve is for that.
            layout.note(f"status: {error}")

    def verdict(self, job: Job, running: tree.Tree) -> Stop:
        """Tell how the command ended by itself."""
        code, full = running.exit_code or 0, _is_full(self.run_dir)
        if code == 0 and running.logs is not None and running.logs.lost and not full:
            return Stop(FAILED, f"the log could not be written to its end: {running.logs.lost}", code)
        lost = self.tracking.trouble() if self.tracking else None
        if code == 0 and full:
            return Stop(FAILED, "the disk of the run is full (ENOSPC): its log or outputs may be cut short", code)
        if code == 0 and lost:
            return Stop(FAILED, f"metrics could not be written: {lost}", code)
        if running.failed is None:
            return self.delivered(job)
        why = starting.why(self.run_dir, job, running)
        if self.container is not None:
            why = self.container.why(why, code)
        return Stop(FAILED, f"{why}; the disk of the run is full (ENOSPC)" if full else why, code)

    def delivered(self, job: Job) -> Stop:
        """Bring the outputs where they are wanted, and tell how that ended."""
        if job.deliveries:
            from node import delivery

            try:
                delivery.deliver(job)
            except delivery.NotDeliveredError as error:
                return Stop(FAILED, str(error), 0)
        return Stop(COMPLETED, "", 0)

    def finish(self, end: Stop) -> None:
        if self.container is not None:
            self.container.remove()
        if self.tracking is not None:
            self.tracking.close()
        self.quit.set()
        self.until_written(lambda: self.write_end(end))
        (self.run_dir / layout.RESERVE).unlink(missing_ok=True)

    def write_end(self, end: Stop) -> None:
        self.write(
            state=end.state,
            reason=self.masked(end.reason) or None,
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
    if error.errno == errno.E2BIG:
        return (
            "an input's value or an environment variable is longer than Linux passes to a program (128 KiB each, "
            "about 2 MB together). Give it as a file: an input with type: uri_file"
        )
    return f"the run could not be prepared: {error}"


def _is_full(run_dir: Path) -> bool:
    """Tell whether another block can't be written where the run's files are."""
    probe = run_dir / f".probe.{os.getpid()}"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            layout.write_all(fd, b"\0" * 4096)
            os.fsync(fd)
        finally:
            os.close(fd)
            probe.unlink(missing_ok=True)
    except OSError as error:
        return error.errno in _FULL
    return False
