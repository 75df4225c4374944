"""Preview, up, refresh, destroy and what goes with them: the engine run as a child, its events followed as they come.

The engine's CLI, not the automation library: `--event-log` gives the same structured events for every operation, and
nothing heavy is imported. What is in a plan is `plan`'s business, what a failure means `failures`'.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from engine.errors import LOCKED, EngineError
from engine.failures import failure
from engine.locks import lock_of, mend, reap, sweep, workplace
from engine.obtain import version_numbers
from engine.passphrase import set_aside
from engine.plan import BOOKKEEPING, OPS, Json, Op, Plan, mapping, name_of, plan_of, step_of, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from engine.session import Session

LOGGER = logging.getLogger("trainyard.engine")
LOOK_S = 0.05
"""How often the event log is read while the engine runs."""
PLUGINS_LATE = (3, 255, 0)
"""From here on the engine can get a missing plugin when it is first used; looking ahead cost 2.8 s an operation."""
HEADLESS = ("--non-interactive", "--color=never")


@dataclass(frozen=True)
class Progress:
    """One resource moved on: for progress bars. `component` ones exist in the program only."""

    name: str
    type: str
    op: Op
    state: Literal["started", "done", "failed"]
    component: bool


def preview(
    session: Session,
    *,
    refresh: bool = False,
    targets: Sequence[str] = (),
    on_event: Callable[[Progress], None] | None = None,
) -> Plan:
    """Return what `up` would do. Changes nothing in the cloud; makes the stack's empty state if there is none. Blocks.

    Raises:
        EngineError: with the engine's own diagnostics.

    """
    create_stack(session)
    flags = ["--refresh"] if refresh else []
    return operate(session, ["preview", *flags, *aimed(targets)], on_event)


def up(
    session: Session,
    *,
    refresh: bool = False,
    targets: Sequence[str] = (),
    on_event: Callable[[Progress], None] | None = None,
) -> Plan:
    """Make the cloud what the stack says, and return what was done. Asks nobody. Blocks; idempotent.

    Raises:
        EngineError: with the engine's own diagnostics; what was done before the failure is recorded in state.

    """
    create_stack(session)
    flags = ["--refresh"] if refresh else []
    return operate(session, ["up", "--yes", "--skip-preview", *flags, *aimed(targets)], on_event)


def refresh(
    session: Session, *, preview_only: bool = False, on_event: Callable[[Progress], None] | None = None
) -> Plan:
    """Compare state with the cloud and return the differences; adopt them in state unless `preview_only`. Blocks.

    Raises:
        EngineError: with the engine's own diagnostics.

    """
    how = ["--preview-only"] if preview_only else ["--yes", "--skip-preview"]
    return operate(session, ["refresh", *how], on_event)


def destroy(
    session: Session, *, preview_only: bool = False, on_event: Callable[[Progress], None] | None = None
) -> Plan:
    """Delete everything that the stack made, and return what went; or only say what would go. Asks nobody. Blocks.

    Raises:
        EngineError: with the engine's own diagnostics.

    """
    how = ["--preview-only"] if preview_only else ["--yes", "--skip-preview"]
    return operate(session, ["destroy", *how], on_event)


def outputs(session: Session) -> dict[str, Json]:
    """Return the stack's outputs, secrets blinded; empty after a destroy.

    Raises:
        EngineError: the stack was never brought up.

    """
    found: Json = json.loads(ask(session, ["stack", "output", "--json"]))
    return dict(mapping(found))


def export(session: Session) -> dict[str, Json]:
    """Return the stack's whole state as the engine exports it; secrets stay ciphertext.

    Raises:
        EngineError: the stack was never brought up.

    """
    found: Json = json.loads(ask(session, ["stack", "export"]))
    return dict(mapping(found))


def set_secret(session: Session, key: str, value: str) -> None:
    """Keep `value` encrypted under `key` in the stack's configuration. It travels by stdin, never in an argument.

    Raises:
        EngineError: the engine refused the key.

    """
    create_stack(session)
    ask(session, ["config", "set", "--secret", "--", key], stdin=value)


@dataclass(frozen=True)
class Freed:
    """What a dead operation had left: whose locks, the processes that were ended, by id."""

    locks: tuple[str, ...]
    orphans: Mapping[int, str]
    torn: tuple[str, ...] = ()
    """Files of the backend that were being written."""


def unlock(session: Session, before: Callable[[str], None] | None = None) -> Freed:
    """Take away what dead operations left on the stack: locks, orphans, folders; say whose locks. Idempotent.

    Only where state is the project's own: a lock in a shared backend is for its holder to judge. `before` is told when
    the holder of each lock began, before the lock goes.

    Raises:
        EngineError: a holder lives, or is on another machine.

    """
    if session.users_own_backend():
        raise EngineError("the state is in your own backend", f"pulumi cancel --stack {session.stack}")
    found = [
        lock_of(path) for path in (session.data / "pulumi" / ".pulumi" / "locks").glob(f"*/*/{session.stack}/*.json")
    ]
    for lock in found:
        if lock.host != socket.gethostname() or lock.may_live():
            message = f"stack {session.stack} is locked by {lock}, which may still run"
            raise EngineError(message, "Wait for it to end.", exit_code=LOCKED)
    for lock in found:
        if before is not None:
            before(lock.since)
        lock.path.unlink(missing_ok=True)
        lock.path.with_name(f"{lock.path.name}.attrs").unlink(missing_ok=True)
    orphans = reap(session.data / "pulumi-home")
    sweep(session.data)
    torn = mend(session.data / "pulumi", session.stack)
    return Freed(tuple(str(lock) for lock in found), orphans, tuple(torn))


def create_stack(session: Session) -> None:
    """Make the stack's empty state if there is none. Idempotent; two at once agree.

    A configuration file of an earlier life, whose secrets nobody can read any more, is moved aside first, and a warning
    says so on the logger `trainyard.engine`; without a handler Python prints it to stderr.
    """
    session.prepare()
    if not session.users_own_backend() and session.stack in session.stacks():
        return
    if line := set_aside(session):
        LOGGER.warning(line)
    how = [] if session.users_own_backend() else ["--secrets-provider=passphrase"]
    try:
        ask(session, ["stack", "init", "--no-select", *how])
    except EngineError as error:
        if "already exists" not in error.message:
            raise


def aimed(targets: Sequence[str]) -> list[str]:
    """Return the flags that limit an operation to some URNs."""
    return [f"--target={urn}" for urn in targets]


def operate(session: Session, arguments: Sequence[str], on_event: Callable[[Progress], None] | None) -> Plan:
    """Run one operation to its end, passing its progress on, and return its plan.

    Raises:
        EngineError: with the engine's own diagnostics.

    """
    started = time.monotonic()
    session.prepare()
    with workplace(session.data) as (folder, lock):
        log = EventLog(folder / "events.json", on_event)
        argv = [*command(session, arguments), f"--event-log={log.path}", "--suppress-outputs", "--suppress-progress"]
        if version_numbers(session.engine.version) >= PLUGINS_LATE:
            argv.append("--skip-plugin-pre-install")
        words = folder / "words"
        with words.open("w", encoding="utf-8") as out, running(session, argv, out, lock) as child:
            while wait(child, LOOK_S) is None:
                log.read()
        log.read()
        if child.returncode < 0:
            message = f"the engine was killed (signal {-child.returncode}) in mid-{arguments[0]}"
            raise EngineError(message, f"To put right what it left: invoke recover --stack {session.stack}")
        if child.returncode:
            raise failure(session.stack, log.events, words.read_text("utf-8", errors="replace"), arguments[0])
    return plan_of(log.events, round(time.monotonic() - started, 3))


def ask(session: Session, arguments: Sequence[str], stdin: str | None = None) -> str:
    """Run a short command of the engine and return what it prints.

    Raises:
        EngineError: with the engine's own words.

    """
    session.prepare()
    answer = subprocess.run(
        command(session, arguments), cwd=session.root, env=session.environment(), umask=0o077, check=False,
        input=stdin or "", capture_output=True, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    if answer.returncode:
        raise failure(session.stack, [], answer.stderr or answer.stdout, arguments[0])
    return answer.stdout


def command(session: Session, arguments: Sequence[str]) -> list[str]:
    """Return the engine's argv. Flags go right after the verb, so that a key that begins with a dash stays a key."""
    verbs = [word for word in arguments[:2] if not word.startswith("-")]
    flags = [*HEADLESS, f"--stack={session.stack}"]
    if verbs == ["stack", "init"]:
        flags = [*HEADLESS]
        arguments = [*arguments, "--", session.stack]
    return [str(session.engine.bin / "pulumi"), *verbs, *flags, *arguments[len(verbs) :]]


@contextmanager
def running(session: Session, argv: Sequence[str], out: TextIO, lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start the engine in a session of its own, so that Ctrl-C reaches it once and from here. It shares the `lock`.

    The engine ends an operation tidily on the first interrupt and drops everything on the second: so it does here.
    """
    child = subprocess.Popen(
        argv, cwd=session.root, env=session.environment(), umask=0o077, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(lock,),
    )  # fmt: skip
    try:
        yield child
    except BaseException:
        child.send_signal(signal.SIGINT)
        try:
            child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            child.wait()
        raise


def wait(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Wait so long for the child; return its exit code, or None if it still runs."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


@dataclass
class EventLog:
    """The engine's event log, read as it grows: one JSON object a line. Debug diagnostics, most of it, are skipped."""

    path: Path
    on_event: Callable[[Progress], None] | None = None
    events: list[dict[str, Json]] = field(default_factory=list)
    offset: int = 0

    def read(self) -> None:
        """Take in the whole lines that came since the last time and pass their progress on."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                fresh = file.read()
        except FileNotFoundError:
            return
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            if b'"severity":"debug"' in line:
                continue
            found: Json = json.loads(line)
            event = dict(mapping(found))
            self.events.append(event)
            progress = progress_of(event)
            if progress is not None and self.on_event is not None:
                self.on_event(progress)


def progress_of(event: dict[str, Json]) -> Progress | None:
    """Return what an event says about a resource's progress, or None if it is about something else."""
    failed = mapping(event.get("resOpFailedEvent")).get("metadata")
    step = mapping(failed) if failed else step_of(event)
    if step is None or text(step.get("type")).startswith(BOOKKEEPING) or text(step.get("op")) not in OPS:
        return None
    state: Literal["started", "done", "failed"] = "failed" if failed else "done"
    if "resourcePreEvent" in event:
        state = "started"
    resource = mapping(step.get("new") or step.get("old"))
    name, kind = name_of(text(step.get("urn"))), text(step.get("type"))
    return Progress(name, kind, OPS[text(step.get("op"))], state, component=resource.get("custom") is not True)
