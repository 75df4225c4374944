"""What a failure of the engine means, in one message without a traceback, and what to type next. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.plan import Json, diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LOCKED = re.compile(r"created by (?P<user>\S+?)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<time>\S+)")
"""How the file backend words a lock: pkg/v3.255.0 backend/diy/lock.go."""
ECHOES = re.compile(
    r"(?:preview|update|refresh|destroy) failed"
    r"|an unhandled error occurred: program exited with non-zero exit code: -?\d+"
    r"|resource monitor shut down while waiting on step's done channel"
    r"|the resource monitor is not available"
)
"""What the engine adds to the true reason."""
TRACEBACK = re.compile(r"[\s\S]*^Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n|\n)*", re.MULTILINE)
UNHANDLED = "Program failed with an unhandled exception:"
LAST_LINES = 6


def failure(stack: str, events: Sequence[Mapping[str, Json]], words: str, verb: str) -> EngineError:
    """Return the error for an operation that failed: a situation that we know, or else the engine's own diagnostics."""
    known = known_failure(stack, words)
    if known is not None:
        return known
    reasons = reasons_of(events) or printed(words)
    message = "\n".join(reasons) or f"pulumi {verb} failed and did not say why"
    return known_failure(stack, message) or EngineError(message)


def known_failure(stack: str, words: str) -> EngineError | None:
    """Recognise what needs another answer than the engine's own words."""
    if "currently locked" in words:
        holder = LOCKED.search(words)
        if holder is None:
            return EngineError(f"stack {stack} is locked by another operation", "Wait for it, then type it again.")
        who = f"{holder['user']} on {holder['host']}, process {holder['pid']}, since {holder['time']}"
        return EngineError(
            f"stack {stack} is locked by {who}",
            f"Wait for it to end. If that process is gone: invoke recover --stack {stack}",
        )
    if re.search(r"no stack named '.*' found", words):
        return EngineError(f"stack {stack} was never brought up", f"invoke up --stack {stack}")
    if "incorrect passphrase" in words:
        return EngineError(
            f"the passphrase is not the one that stack {stack} was made with",
            "It comes from PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE, else from .trainyard/passphrase.",
        )
    if "passphrase must be set" in words:
        return EngineError(
            f"the backend of stack {stack} is your own, so its passphrase is too",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it.",
        )
    return None


def reasons_of(events: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return the errors in the events, each once, without tracebacks and the engine's echoes.

    A program that only prints its reason before it exits has it on stderr, which is `info#err` here.
    """
    errors = cleaned(diagnostic(event, "error") for event in events)
    return errors or cleaned(diagnostic(event, "info#err") for event in events)


def cleaned(messages: Iterable[str | None]) -> list[str]:
    """Return each message once, without tracebacks, leaving out the engine's echoes."""
    shown = (without_traceback(message) for message in messages if message)
    return [message for message in dict.fromkeys(shown) if message and not ECHOES.fullmatch(message)]


def without_traceback(message: str) -> str:
    """Return a program's failure as its exception says it: `ValueError: ...` and not the frames that led there."""
    shorter = TRACEBACK.sub("", message + "\n")
    return shorter.replace(UNHANDLED, "").strip()


def printed(words: str) -> list[str]:
    """Return the reason from what the engine printed: its `error:` lines, else its last lines."""
    errors = re.findall(r"(?m)^error: ((?:.+)(?:\n[ \t]+.+)*)", words)
    lines = [line.strip() for line in words.strip().splitlines() if line.strip()]
    return cleaned(errors) or lines[-LAST_LINES:]
