"""`python -m tests.engine.counted --home HOME`: an emulator that counts what the provider asks and kills at the Nth.

Who dies, when and at which request is in the environment; each counted request is a line of the log.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import __main__ as emulator
from emulator import homes
from emulator.app import App

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from emulator.routing import Answer

AT, WHEN, VICTIM, LOG = "SWEEP_AT", "SWEEP_WHEN", "SWEEP_VICTIM", "SWEEP_LOG"
PROVIDER = b"pulumi-azure-native"
ARM = ("/subscriptions/", "/providers/")


def pids_of(home: Path, victim: str) -> list[int]:
    """Find the processes of a victim: the emulator is this one, the engine is known by its home."""
    if victim == "emulator":
        return [os.getpid()]
    if victim == "provider":
        holder = homes.owner(home / "provider.json")
        return [holder.pid] if holder else []
    mark = f"PULUMI_HOME={home.parent}/pulumi-home".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() == "pulumi\n" and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


class Counter:
    """Counts, and kills when the moment has come."""

    def __init__(self, home: Path) -> None:
        self.home, self.log = home, Path(os.environ[LOG])
        self.moment = (int(os.environ[AT]), os.environ[WHEN])
        self.numbers, self.lock = itertools.count(1), threading.Lock()

    def next(self, what: str) -> int:
        with self.lock, self.log.open("a") as file:
            number = next(self.numbers)
            file.write(f"{what}\n")
        return number

    def at(self, number: int, when: str) -> None:
        if (number, when) == self.moment:
            for pid in pids_of(self.home, os.environ[VICTIM]):
                os.kill(pid, signal.SIGKILL)


def install(counter: Counter) -> None:
    """Put the counter around the emulator's application."""
    answer: Callable[[App, Request, bytes], Answer] = App.answer
    call: Callable[[App, Scope, Receive, Send], Awaitable[None]] = App.__call__

    def counted(self: App, request: Request, body: bytes) -> Answer:
        path = request.url.path
        if PROVIDER not in dict(request.scope["headers"]).get(b"user-agent", b"") or not path.startswith(ARM):
            return answer(self, request, body)
        number = request.scope["sweep"] = counter.next(f"{request.method} {path}")
        counter.at(number, "received")
        result = answer(self, request, body)
        counter.at(number, "handled")
        return result

    async def called(self: App, scope: Scope, receive: Receive, send: Send) -> None:
        await call(self, scope, receive, send)
        if "sweep" in scope:
            counter.at(scope["sweep"], "answered")

    App.answer = counted  # type: ignore[method-assign]
    App.__call__ = called  # type: ignore[method-assign]


if __name__ == "__main__":
    import sys

    install(Counter(Path(sys.argv[sys.argv.index("--home") + 1])))
    sys.exit(emulator.main())
