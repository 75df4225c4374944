"""Who logs in to a machine: the user's ssh-agent, then the user's key files, then what the workspace keeps (listKeys).

In that order, each offered once. A key file that others can read is not used, as OpenSSH has it. What the workspace
hands out lives in this process only. Nothing here retries: a refusal is an answer.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import ConnectionLostError, RefusedError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.ssh import Door

_OTHERS = 0o077
ACTION = "Microsoft.MachineLearningServices/workspaces/computes/listKeys/action"


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """What a workspace keeps to log in to a machine. Never shown, never written."""

    password: str = ""
    private_key: str = ""


class CutError(Exception):
    """The connection broke during the login, for no fault of a credential."""


Offer = tuple[str, "Callable[[Any], object]"]
"""What a credential is called, and how it is offered on a transport."""


def authenticate(door: Door, dial: Callable[[], Any], account: Callable[[], Account]) -> Any:
    """Return a transport that let us in. Raises `TargetError` naming all that was tried, `CutError`.

    A server hangs up after some refusals (MaxAuthTries); the rest is then offered on a new connection.
    """
    from runtime import ssh

    paramiko, tried = ssh.load(), list[str]()
    with contextlib.ExitStack() as agents:
        offers = _offers(paramiko, door, account, tried, agents)
        transport = _first_accepted(paramiko, dial, offers, tried)
    if transport is not None:
        return transport
    listed = "\n         ".join(tried)
    raise TargetError(
        f"{door.where} let nobody in as {door.username}. Nothing was sent.\n  tried  {listed}\n"
        f"  Add a key to your agent (ssh-add), or ask for {ACTION} on the workspace."
    )


def _first_accepted(paramiko: Any, dial: Callable[[], Any], offers: Iterator[Offer], tried: list[str]) -> Any:
    """Offer one after the other; None when all were refused, which `tried` then tells."""
    transport, refusals = dial(), 0
    try:
        for name, offer in offers:
            while (verdict := _offered(paramiko, offer, transport)) is None:
                _unless_first(refusals)
                transport.close()  # it had heard enough refusals (MaxAuthTries): the same offer on a new connection
                transport, refusals = dial(), 0
            if verdict == "":
                return transport
            tried.append(f"{name}: {verdict}")
            refusals += 1
    except BaseException:
        transport.close()
        raise
    transport.close()
    return None


def _unless_first(refusals: int) -> None:
    """Raise `CutError` where the connection can't have ended because of what was refused on it."""
    if not refusals:
        raise CutError("the connection was cut during the login")


def _offered(paramiko: Any, offer: Callable[[Any], object], transport: Any) -> str | None:
    """Offer a credential. Returns why it was refused, nothing when it was taken, None when the connection broke."""
    try:
        offer(transport)
    except paramiko.BadAuthenticationType as error:
        return f"not accepted there, only {', '.join(error.allowed_types)}"
    except paramiko.AuthenticationException:
        return "refused" if transport.is_active() else None
    except (paramiko.SSHException, EOFError, OSError):
        return None
    return (
        "" if transport.is_authenticated() else "accepted, but it asks for a second factor, which can't be given here"
    )


def _offers(
    paramiko: Any, door: Door, account: Callable[[], Account], tried: list[str], agents: contextlib.ExitStack
) -> Iterator[Offer]:
    user = door.username
    for name, key in itertools.chain(_agent(paramiko, tried, agents), _files(paramiko, tried)):
        yield name, partial(_with_key, user, key)
    try:
        kept = account()
    except (RefusedError, ConnectionLostError, TargetError) as error:
        tried.append(f"listKeys of the workspace: {str(error).splitlines()[0]}")
        return
    if kept.private_key:
        key = parse(paramiko, kept.private_key)
        if key is None:
            tried.append("the workspace's key: can't be read")
        else:
            yield "the workspace's key", partial(_with_key, user, key)
    if kept.password:
        yield "the workspace's password", partial(_with_password, user, kept.password)
    if not kept.private_key and not kept.password:
        tried.append("listKeys of the workspace: it keeps no credential")


def _with_key(user: str, key: Any, transport: Any) -> None:
    transport.auth_publickey(user, key)


def _with_password(user: str, password: str, transport: Any) -> None:
    transport.auth_password(user, password, fallback=False)


def _agent(paramiko: Any, tried: list[str], agents: contextlib.ExitStack) -> list[tuple[str, Any]]:
    if not os.environ.get("SSH_AUTH_SOCK"):
        tried.append("ssh-agent: none is running (SSH_AUTH_SOCK is not set)")
        return []
    try:
        agent = paramiko.Agent()
        agents.callback(agent.close)
        keys = agent.get_keys()
    except (paramiko.SSHException, OSError) as error:
        tried.append(f"ssh-agent: can't be asked ({error})")
        return []
    if not keys:
        tried.append("ssh-agent: holds no key")
    return [(f"ssh-agent's {getattr(key, 'comment', '') or key.get_name()}", key) for key in keys]


def _files(paramiko: Any, tried: list[str]) -> Iterator[tuple[str, Any]]:
    folder = Path.home() / ".ssh"
    paths = sorted(path for path in folder.glob("id_*") if path.suffix != ".pub" and path.is_file())
    if not paths:
        tried.append("key files: there is no ~/.ssh/id_*")
    for path in paths:
        name = f"~/.ssh/{path.name}"
        try:
            if path.stat().st_mode & _OTHERS:
                tried.append(f"{name}: others can read it, so it is not used. Repair: chmod 600 {name}")
                continue
            key = parse(paramiko, path.read_text("utf-8"))
        except paramiko.PasswordRequiredException:
            tried.append(f"{name}: has a passphrase. Open it for the agent: ssh-add {name}")
            continue
        except (OSError, UnicodeDecodeError):
            key = None
        if key is None:
            tried.append(f"{name}: can't be read as a private key")
        else:
            yield name, key


def parse(paramiko: Any, text: str) -> Any:
    """Read a private key of any kind; None where it is none. Raises PasswordRequiredException."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError, IndexError, UnicodeDecodeError):
            continue
    return None
