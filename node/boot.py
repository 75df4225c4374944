"""The first words on a machine reached by SSH: find the package `node` of one exact content there, or take it.

This text itself is what an SSH command executes there (`runtime.hosts`); `node.remote` then answers. Both ends speak in
frames: the length of a JSON object, the length of what follows it, the object, and those bytes. A large object, which
lists files, goes compressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO, TypeAlias

    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
    Frame: TypeAlias = "dict[str, Json]"

MAGIC = b"\0trainyard 1\n"
"""What a shell's start-up files print comes before it."""
HEAD = struct.Struct(">IQ")
PACKED = 1 << 31
"""Set in an object's length where it is compressed."""
MUCH, MOST = 1 << 12, 1 << 30
"""From how many bytes on an object is compressed; how many one may have."""
LEAST_PYTHON = (3, 10)
"""Of the machine's python3: Ubuntu 22.04's."""
HOME = ".trainyard"


def read_exact(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes. Raises: EOFError."""
    found = stream.read(count)
    if found is None or len(found) != count:
        raise EOFError
    return found


def read_head(stream: BinaryIO) -> tuple[Frame, int]:
    """Read a frame's object, and how many bytes follow it. Raises: EOFError."""
    length, body = HEAD.unpack(read_exact(stream, HEAD.size))
    found: Frame = json.loads(unpacked(length, read_exact(stream, length & ~PACKED)))
    return found, body


def unpacked(length: int, raw: bytes) -> bytes:
    """Return the text of an object that came with such a length."""
    return zlib.decompressobj().decompress(raw, MOST) if length & PACKED else raw


def frame(value: Frame, body: bytes = b"") -> bytes:
    """Return a frame."""
    text, mark = json.dumps(value).encode(), 0
    if len(text) >= MUCH:
        text, mark = zlib.compress(text), PACKED
    return HEAD.pack(len(text) | mark, len(body)) + text + body


def home() -> str:
    """Return the folder of everything that we keep on a machine."""
    return os.path.join(os.path.expanduser("~"), HOME)  # noqa: PTH111, PTH118 - pathlib costs a tenth of the start


def install(root: str, key: str, packed: bytes) -> None:
    """Put the package there whole, or not at all. Raises: OSError, ValueError for another content."""
    if hashlib.sha256(packed).hexdigest() != key:
        raise ValueError("the package node arrived damaged")
    files: dict[str, str] = json.loads(zlib.decompress(packed))
    draft = f"{root}.{os.getpid()}.{os.urandom(4).hex()}"
    os.makedirs(os.path.join(draft, "node"), mode=0o700)  # noqa: PTH103, PTH118
    try:
        for name, text in files.items():
            with open(os.path.join(draft, "node", name), "w", encoding="utf-8") as file:  # noqa: PTH118, PTH123
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        os.rename(draft, root)  # noqa: PTH104
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not os.path.isdir(root):  # noqa: PTH112 - else another client brought it meanwhile
            raise


def main() -> None:
    """Answer to a client on standard input and output, until it leaves."""
    os.umask(0o077)
    source = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything here prints must not come between two frames
    answers.write(MAGIC)
    hello, _ = read_head(source)
    root = os.path.join(home(), "node", str(hello["node"]))  # noqa: PTH118
    try:
        os.makedirs(os.path.dirname(root), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        if not os.path.isdir(root):  # noqa: PTH112
            answers.write(frame({"need": "node"}))
            answers.flush()
            _, size = read_head(source)
            install(root, str(hello["node"]), read_exact(source, size))
    except OSError as error:
        answers.write(frame({"error": f"its home can't be written to: {error.filename}: {error.strerror}"}))
        answers.flush()
        return
    sys.path.insert(0, root)
    from node import remote

    remote.serve(source, answers, hello)
