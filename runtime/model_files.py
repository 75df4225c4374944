"""Whether a model's files can be loaded without running code that they bring along.

A list of what is known to be plain data, by name and by content; everything else (pickles, whatever they are called)
needs the user's word for exactly those bytes. What the scoring script does with the files is the user's own code.
"""

from __future__ import annotations

import ast
import hashlib
import re
import stat
import zipfile
from typing import TYPE_CHECKING

from runtime.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import IO

_TEXT = frozenset({".json", ".txt", ".csv", ".md", ".yml", ".yaml", ".toml", ".vocab", ".merges"})
_TEXT_NAMES = frozenset({"mlmodel", "license", "readme", "vocab", "merges", "requirements"})
_BINARY = {".safetensors": None, ".gguf": b"GGUF", ".parquet": b"PAR1", ".png": b"\x89PNG"}
"""Formats without code, and how they begin where that is fixed."""
_PICKLE = re.compile(rb"\x80[\x01-\x05]")
_SHORTEST_HASH = 12
_HEADER_BYTES = 100_000
_NPY = b"\x93NUMPY"
_NPY_LONG_HEADER = 2


def check(folder: Path, trust: Collection[str] = ()) -> None:
    """Refuse model files that may run code when loaded, unless `trust` has (12 digits or more of) their SHA-256.

    Raises: RefusedError naming each, with the hash to say.
    """
    refused = []
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = path.relative_to(folder).as_posix()
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise RefusedError(f"{name} in the model is a link or no file at all; a model holds files only")
        why = risk(path)
        if why:
            digest = fingerprint(path)
            if not any(len(known) >= _SHORTEST_HASH and digest.startswith(known.lower()) for known in trust):
                refused.append((name, why, digest))
    if refused:
        listed = "\n".join(f"  {name}  {why}  sha256 {digest}" for name, why, digest in refused)
        flags = " ".join(f"--trust {digest[:16]}" for _, _, digest in refused)
        raise RefusedError(
            f"loading this model can run code that is hidden in it:\n{listed}",
            advice=f"Better: save plain arrays (.npz, .onnx, .safetensors). If you know where it comes from: {flags}",
        )


def fingerprint(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def risk(path: Path) -> str | None:
    """Say why loading a file may run code; None where it is plain data."""
    suffix, name = path.suffix.lower(), path.name.lower()
    with path.open("rb") as stream:
        head = stream.read(16)
    if _PICKLE.match(head):
        return "is a pickle"
    if suffix in _TEXT or name in _TEXT_NAMES:
        return None if _is_text(path) else "is not the text that its name says"
    if suffix in _BINARY:
        return None if head.startswith(_BINARY[suffix] or b"") else "does not begin as its name says"
    if suffix == ".npy":
        with path.open("rb") as stream:
            return _array_risk(stream)
    if suffix == ".npz":
        return _archive_risk(path)
    if suffix == ".onnx":
        return _onnx_risk(path)
    return "is in a format that may hold code"


def _is_text(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as stream:
            return all("\0" not in block for block in iter(lambda: stream.read(1 << 20), ""))
    except UnicodeDecodeError:
        return False


def _archive_risk(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy") or ".." in member.filename or member.filename.startswith("/"):
                    return f"holds {member.filename!r}, which is no array"
                with archive.open(member) as stream:
                    why = _array_risk(stream)
                if why:
                    return f"holds {member.filename}, which {why}"
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError):
        return "is not an archive of arrays"
    return None


def _array_risk(stream: IO[bytes]) -> str | None:
    """Read an array's header (NumPy's .npy format, versions 1 to 3) and refuse arrays of Python objects."""
    if stream.read(6) != _NPY:
        return "is not an array"
    major = stream.read(2)[:1]
    width = 2 if major < bytes([_NPY_LONG_HEADER]) else 4
    length = int.from_bytes(stream.read(width), "little")
    try:
        header = ast.literal_eval(stream.read(min(length, _HEADER_BYTES)).decode("utf-8").strip())
        kinds = repr(header["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        return "is not an array"
    return "is an array of Python objects, that is a pickle" if re.search(r"['|<>=]O", kinds) else None


def _onnx_risk(path: Path) -> str | None:
    """Refuse tensors kept in files outside the model (ONNX external data: a key `location` and a relative path)."""
    data = path.read_bytes()
    if b"location" in data and (b"../" in data or re.search(rb"location\x12.?/", data)):
        return "names files outside the model"
    return None
