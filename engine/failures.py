"""What a failure of the engine means, in one message without a traceback, and what to type next. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import LOCKED, NOT_DEPLOYED, PASSPHRASE, EngineError
from engine.passphrase import START_OVER
from engine.plan import Json, diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HOLDER = re.compile(r"created by (?P<user>\S+?)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<time>\S+)")
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
UNSET = re.compile(
    r"Missing required configuration variable '(?:[^':]+:)?(?P<key>[^']+)'[^\n]*\n[^\n]*config set --secret[^\n]*"
)
"""How the Python SDK words it: v3.255.0 pulumi/config.py, `ConfigMissingError`. Its advice has the secret typed."""
NO_PLUGIN = re.compile(
    r"[^\n]*resource plugin 'pulumi-resource-(?P<name>[\w-]+)'[^\n]*? at version v(?P<version>\d[\w.+-]*\w)[^\n]*"
)
"""v3.255.0 pkg/resource/plugin and sdk workspace: it could not be downloaded, or downloading is switched off."""
SLEEPING = re.compile(r'Status=0 Code="Unreachable"|did not begin responding to RPC connections')
DIED = re.compile(r"error reading from server: (?:EOF|\S.*connection reset)|transport is closing")
"""What gRPC says of a provider whose process ended under an operation: grpc-go, internal/transport."""
TORN = re.compile(r"(?:failed to load checkpoint|reading history file \S+): EOF")
TAKEN = "cannot create already existing resource"
"""The vendor's provider and the emulator's say it, where a PUT would have taken over what is there."""


def failure(stack: str, events: Sequence[Mapping[str, Json]], words: str, verb: str) -> EngineError:
    """Return the error for an operation that failed: a situation that we know, or else the engine's own diagnostics."""
    known = known_failure(stack, words)
    if known is not None:
        return known
    reasons = reasons_of(events) or printed(words)
    message = "\n".join(reasons) or f"pulumi {verb} failed and did not say why"
    return known_failure(stack, message) or advised(stack, message)


def known_failure(stack: str, words: str) -> EngineError | None:
    """Recognise what needs another answer than the engine's own words."""
    if "currently locked" in words:
        holder = HOLDER.search(words)
        if holder is None:
            message = f"stack {stack} is locked by another operation"
            return EngineError(message, "Wait for it, then type it again.", exit_code=LOCKED)
        who = f"{holder['user']} on {holder['host']}, process {holder['pid']}, since {holder['time']}"
        return EngineError(
            f"stack {stack} is locked by {who}",
            f"Wait for it to end. If that process is gone: invoke recover --stack {stack}",
            exit_code=LOCKED,
        )
    if re.search(r"no stack named '.*' found", words):
        message = f"stack {stack} was never brought up"
        return EngineError(message, f"invoke up --stack {stack}", exit_code=NOT_DEPLOYED)
    if "incorrect passphrase" in words:
        return EngineError(
            f"the passphrase is not the one that stack {stack} was made with",
            "It comes from PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE if set, else from "
            f".trainyard/passphrase: put the right one back there. {START_OVER}",
            exit_code=PASSPHRASE,
        )
    if "passphrase must be set" in words:
        return EngineError(
            f"the backend of stack {stack} is your own, so its passphrase is too",
            "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it.",
            exit_code=PASSPHRASE,
        )
    return None


def advised(stack: str, message: str) -> EngineError:
    """Return the error with what to type next, where we know it: in our words where the engine's advice is not ours."""
    hints = []
    if unset := list(dict.fromkeys(found["key"] for found in UNSET.finditer(message))):
        message = UNSET.sub(rf"stacks/{stack}.yaml names the secret \g<key>, which has no value yet", message)
        hints += [f"invoke secret {key} --stack {stack}" for key in unset]
    if plugin := NO_PLUGIN.search(message):
        name, version = plugin["name"], plugin["version"]
        message = NO_PLUGIN.sub(
            r"the vendor's plugin \g<name> v\g<version> is not on this machine and could not be downloaded", message
        )
        install = f"pulumi plugin install resource {name} v{version}"
        hints.append(
            f'Stacks with `cloud: azure` need it. Where its download is reachable: eval "$(invoke env {stack})" && '
            f"{install}. Else get the archive elsewhere and add: --file ARCHIVE"
        )
    if TAKEN in message:
        hints.append(
            "It is not in this stack's state. "
            f"If an `up` of this stack was killed: invoke recover --stack {stack}. "
            "Else another stack or somebody else owns it. To take over a workspace or "
            f"compute: invoke adopt NAME --stack {stack}. Else choose another name in stacks/{stack}.yaml."
        )
    if SLEEPING.search(message):
        hints.append(f"The emulator does not answer: invoke recover --stack {stack}, then type it again.")
    if TORN.search(message):
        hints.append(f"A killed engine left a torn file: invoke recover --stack {stack}, then type it again.")
    if DIED.search(message):
        hints.append(f"The provider died in the middle: invoke recover --stack {stack}, then type it again.")
    return EngineError(message, "\n  ".join(hints))


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
