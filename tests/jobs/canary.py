"""A secret that can be found again wherever it went: in files, and in what /proc tells of processes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from node import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME = "CANARY_TOKEN"
_MOST_BYTES = 256 << 20


def value() -> str:
    """Make one that no format leaves as it is; its core is in no file before it is given away."""
    return f'p"ss w/rd+é\\{secrets.token_hex(16)}=!'


def dresses(secret: str) -> list[bytes]:
    """Return it in every form that is looked for; made without the code under test."""
    raw = secret.encode()
    core = secret[secret.index("\\") + 1 : -2]
    return [
        raw,
        core.encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        core.encode().hex().encode(),
        base64.b64encode(raw).rstrip(b"="),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        # In the middle of something longer, at each of the places where it can begin.
        *(base64.b64encode(bytes(before) + raw)[4:-4] for before in range(3)),
    ]


def files_with(secret: str, roots: Iterable[Path], since: float) -> list[str]:
    """Return the files below these folders, and in what is new in TMPDIR, that hold it in any dress."""
    found = {path for root in (*roots, *_new_in_tmp(since)) for path in _files(root)}
    return sorted(str(path) for path in found if holds(_content(path), secret))


def holds(content: bytes, secret: str) -> bool:
    """Tell whether some bytes give it away."""
    return any(dress in content for dress in dresses(secret))


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _new_in_tmp(since: float) -> Iterator[Path]:
    """Yield what appeared or changed directly in TMPDIR, but the folders of tests that run beside this one."""
    for path in Path(tempfile.gettempdir()).iterdir():
        with contextlib.suppress(OSError):
            if path.lstat().st_ctime >= since and not path.name.startswith("pytest-of-"):
                yield path


def _content(path: Path) -> bytes:
    with contextlib.suppress(OSError), path.open("rb") as file:
        content = file.read(_MOST_BYTES)
        assert len(content) < _MOST_BYTES, f"{path} is too large to look through"
        return content
    return b""


def seen_in_proc(secret: str, run_id: str) -> tuple[list[str], int]:
    """Return who shows it in /proc, and how many processes of the job itself have it, as they should."""
    shown, own = list[str](), 0
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208 - not a folder of files
        if holds(_content(Path(f"/proc/{pid}/cmdline")), secret):
            shown.append(f"cmdline of {pid}")
        if not holds(_content(Path(f"/proc/{pid}/environ")), secret):
            continue
        if processes.environment_has(pid, f"AZUREML_RUN_ID={run_id}"):
            own += 1
        else:
            shown.append(f"environ of {pid}: {_content(Path(f'/proc/{pid}/cmdline'))!r}")
    return shown, own
