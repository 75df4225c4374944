"""One SSH session on a machine: a shell or a command, with a terminal or without, as OpenSSH runs it.

`bash -l` or `bash -c` in a session of its own; a terminal hangs up with the connection, a command without one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import termios
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Mapping

    Process: TypeAlias = "asyncssh.SSHServerProcess[bytes]"

CHUNK = 65536
LAST_WORDS_S = 1.0
"""How long the rest of a terminal's output may take after its shell ended."""
SHELL = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"


async def run(process: Process, home: str, environment: Mapping[str, str]) -> None:
    """Run what the client asked for and pass its end on. Raises OSError when it can't be started."""
    command = os.fsdecode(process.command) if process.command is not None else None
    argv = [SHELL, "-l"] if command is None else [SHELL, "-c", command]
    if process.term_type is None:
        code = await _without_terminal(process, argv, home, environment)
    else:
        code = await _with_terminal(process, argv, home, environment)
    if code < 0:
        process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    else:
        process.exit(code)


async def _without_terminal(process: Process, argv: list[str], home: str, environment: Mapping[str, str]) -> int:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd=home, env=dict(environment), start_new_session=True
    )
    assert child.stdin is not None  # noqa: S101 - asked for above
    assert child.stdout is not None  # noqa: S101
    assert child.stderr is not None  # noqa: S101
    feeding = asyncio.create_task(_feed(process, child.stdin, child.pid))
    await asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr))
    code = await child.wait()
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    return code


async def _pump(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Pass output on until it ends; when the client is gone, read on, so that the command isn't blocked."""
    gone = False
    while data := await source.read(CHUNK):
        if gone:
            continue
        try:
            sink.write(data)
            await sink.drain()
        except (OSError, asyncssh.Error):
            gone = True


async def _feed(process: Process, sink: asyncio.StreamWriter, pid: int) -> None:
    """Pass input on until it ends, and the client's signals."""
    with contextlib.suppress(OSError, asyncssh.Error):
        while True:
            try:
                data = await process.stdin.read(CHUNK)
            except asyncssh.SignalReceived as received:
                _signal(pid, received.signal)
                continue
            if not data:
                break
            sink.write(data)
            await sink.drain()
    sink.close()


def _signal(pid: int, name: str) -> None:
    number = getattr(signal, f"SIG{name}", None)
    if isinstance(number, signal.Signals):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)


@dataclass
class _Terminal:
    """A pseudo-terminal. The slave's end stays open here until the shell has ended, or the first read would fail."""

    master: int
    slave: int

    def resize(self, width: int, height: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


async def _with_terminal(process: Process, argv: list[str], home: str, environment: Mapping[str, str]) -> int:
    terminal = _Terminal(*os.openpty())
    name = os.ttyname(terminal.slave)
    terminal.resize(*process.term_size[:2])
    more = {"TERM": process.term_type or "dumb", "SSH_TTY": name}
    # A session's leader gets the first terminal that it opens as its own (setsid(2)): no code between fork and exec.
    line = 'exec "$@" <"$SSH_TTY" >"$SSH_TTY" 2>&1'
    none = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        # As sshd does: who started the emulator may ignore hang-ups (nohup), and that is inherited.
        *("env", "--default-signal=HUP", "/bin/sh", "-c", line, "sh", *argv),
        stdin=none,
        stdout=none,
        stderr=none,
        cwd=home,
        env={**environment, **more},
        start_new_session=True,
    )
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        partial(asyncio.StreamReaderProtocol, reader),
        os.fdopen(terminal.master, "rb", buffering=0),
    )
    typing = asyncio.create_task(_type(process, terminal, child.pid))
    showing = asyncio.create_task(_show(reader, process))
    try:
        code = await child.wait()
        os.close(terminal.slave)
        await asyncio.wait([showing], timeout=LAST_WORDS_S)
    finally:
        for task in (typing, showing):
            task.cancel()
        await asyncio.gather(typing, showing, return_exceptions=True)
        transport.close()
    return code


async def _show(reader: asyncio.StreamReader, process: Process) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):  # EIO: nobody holds the other end any more
        await _pump(reader, process.stdout)


async def _type(process: Process, terminal: _Terminal, pid: int) -> None:
    """Pass on what is typed, the window's size and signals; a connection that is gone hangs the terminal up."""
    while True:
        try:
            data = await process.stdin.read(CHUNK)
        except asyncssh.TerminalSizeChanged as size:
            terminal.resize(size.width, size.height)
            continue
        except asyncssh.SignalReceived as received:
            _signal(pid, received.signal)
            continue
        except asyncssh.BreakReceived:
            continue
        except (OSError, asyncssh.Error):
            data = b""
        if not data:
            break
        await _write(terminal.master, data)
    # The end of what is typed may come a moment before the channel's, or long before: `ssh -t machine work < file`.
    await process.channel.wait_closed()
    _signal(pid, "HUP")


async def _write(master: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(master, view) :]
        except BlockingIOError:
            await asyncio.sleep(0.01)
        except OSError as error:
            if error.errno == errno.EIO:
                return
            raise
