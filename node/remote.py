"""What this machine does for a client that came by SSH: tell what it is, take files, start a run, answer about runs.

Everything lies below `~/.trainyard` (0700): `node/` this package by content, `objects/` files by content, `runs/` a
folder an attempt, `environments/` what was built. Each request may be repeated; a launch is carried out once. The
client may vanish at any byte: what it sent whole is kept, the rest is as if it had never come.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from node import boot, control, layout, masking, objects, preflight, processes, reading, status
from node import launch as node_launch
from node.objects import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from node.layout import Json

NAMED, NAMED_OUTPUTS = "named", "named-outputs"
"""Where named outputs are, and what Azure lists them as."""
INPUTS = "inputs"
NEVER, LAUNCHING, OWNER = "never", ".launching", "owner.json"
PATIENCE_S = 30.0
"""How long another request about the same run may hold its lock."""


def serve(source: BinaryIO, answers: BinaryIO, first: Mapping[str, Json]) -> None:
    """Answer requests until the client leaves."""
    os.environ.pop("SSH_ORIGINAL_COMMAND", None)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *_further()])
    wanted = first.get("request")
    request: Mapping[str, Json] = wanted if isinstance(wanted, dict) else {"do": "hello"}
    size = 0
    while True:
        answer, body = _answer(request, source, size)
        answers.write(boot.frame(answer, body))
        answers.flush()
        if request["do"] == "receive" and "error" in answer:
            return  # what is still to come of the files is no request
        try:
            request, size = boot.read_head(source)
        except EOFError:
            return


def _further() -> list[str]:
    """Return folders of tools that only an interactive shell's start-up files put on PATH: conda's and uv's own.

    conda/condabin: the installers' default places (docs.conda.io, conda-forge/miniforge); /anaconda: Azure's DSVM.
    """
    bases = ("~/miniconda3", "~/anaconda3", "~/miniforge3", "/opt/conda", "/opt/miniconda3", "/anaconda")
    places = [*(f"{base}/condabin" for base in bases), "~/.local/bin"]
    return [path for path in map(os.path.expanduser, places) if os.path.isdir(path)]  # noqa: PTH112


def _answer(request: Mapping[str, Json], source: BinaryIO, size: int) -> tuple[boot.Frame, bytes]:
    try:
        if request["do"] == "receive":
            Store(_home()).receive(objects.sizes(request), source)
            return {}, b""
        body = boot.read_exact(source, size) if size else b""
        return HANDLERS[str(request["do"])](request, body)
    except OSError as error:
        if error.errno in objects.FULL:
            return {"error": f"its disk is full ({_home()})"}, b""
        where = f"{error.filename}: " if error.filename else ""
        return {"error": f"{where}{error.strerror or error}"}, b""
    except (ValueError, node_launch.LaunchError) as error:
        return {"error": str(error)}, b""


def _home() -> Path:
    return Path(boot.home())


def _run_dir(request: Mapping[str, Json]) -> Path:
    run, attempt = str(request["run"]), int(str(request["attempt"]))
    if "/" in run or run.startswith("."):
        raise ValueError(f"{run!r} is not a run's id")
    return _home() / "runs" / run / f"attempt-{attempt}"


def _preflight(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Tell what this machine is, what is wrong with it, and which of the client's files it lacks."""
    home = layout.private_dir(_home())
    wanted = objects.sizes(request)
    store = Store(home)
    missing = [key for key, size in wanted.items() if not store.has(key, size)]
    needed = sum(wanted[key] for key in missing) + int(str(request.get("copied") or 0))
    found = preflight.look(home, needed)
    return {**found, "home": str(home), "missing": [*missing]}, b""


class _Lock:
    """The lock of one run's folder, so that launching, settling and giving up exclude each other."""

    def __init__(self, folder: Path) -> None:
        self.path = layout.private_dir(folder) / LAUNCHING

    def __enter__(self) -> None:
        found = processes.acquire(self.path, PATIENCE_S)
        if found is None:
            raise ValueError(f"{self.path} is held by another request. Try again")
        self.fd = found

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _launch(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Make the run's folder from files that are here, whole, and start its supervisor; once, however often asked."""
    run_dir, named = _run_dir(request), request.get("given")
    given = named if isinstance(named, dict) else {}
    token, secrets = str(request["token"]), given.get("secrets")
    with _Lock(run_dir.parent):
        never = run_dir.with_name(f"{run_dir.name}.{NEVER}")
        if never.exists():
            return {"never": never.read_text("utf-8", "replace")}, b""
        if not run_dir.is_dir():
            missing = _make(run_dir, given, token)
            if missing:
                return {"missing": [*missing]}, b""
        elif (layout.read_json(run_dir / OWNER) or {}).get("token") != token:
            return {"taken": str(run_dir)}, b""
        # The values came on our standard input and go on to the supervisor's: they are in no file.
        node_launch.start(run_dir, secrets=masking.named(secrets) if secrets else node_launch.NOTHING)
    return {"folder": str(run_dir)}, b""


def _make(run_dir: Path, given: dict[str, Json], token: str) -> list[str]:
    """Make the folder of an attempt beside its place and rename it; or return which files are not here (any more)."""
    store, job = Store(_home()), given["job"]
    if not isinstance(job, dict):
        raise ValueError("a launch needs a job")  # noqa: TRY004 - a bad request, not a bad call
    draft = run_dir.with_name(f".{run_dir.name}.{os.getpid()}")
    for old in run_dir.parent.glob(f".{run_dir.name}.*"):
        shutil.rmtree(old, ignore_errors=True)  # of a launch that was cut off; we hold the lock
    try:
        missing = store.fill(objects.tree(given, "code"), layout.workdir(layout.private_dir(draft)))
        inputs = given.get(INPUTS)
        for name, entry in (inputs if isinstance(inputs, dict) else {}).items():
            if "/" in name or name in {"", ".", ".."}:
                raise ValueError(f"{name!r} is not an input's name")
            if isinstance(entry, dict):
                files, folder = objects.tree(entry, "files"), draft / INPUTS / name
                missing += store.fill(files, folder, shared=entry.get("shared") is True)
        if missing:
            return missing
        layout.create(draft, job)
        layout.write_json(draft / OWNER, {"token": token})
        draft.rename(run_dir)
        layout.sync_dir(run_dir.parent)
        return []
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _look(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Tell all about a run; settle one whose supervisor died.

    `give_up`: its submission ended without an answer, and must not be carried out any more if it wasn't.
    `launched`: it was answered, so that a run without a word of its supervisor has none any more.
    """
    run_dir, give_up = _run_dir(request), request.get("give_up") is True
    if give_up or (request.get("launched") and _unborn(run_dir)):
        with _Lock(run_dir.parent):
            if _unborn(run_dir):
                control.cancel(run_dir, "its submission was interrupted")
            elif give_up and not run_dir.is_dir():
                layout.write_bytes(run_dir.with_name(f"{run_dir.name}.{NEVER}"), b"its submission was interrupted")
    if not run_dir.is_dir():
        return {"found": False}, b""
    owner = layout.read_json(run_dir / OWNER) or {}
    supervised = _locked(run_dir)  # before its status: one that is over by now has written its end
    found = reading.status(run_dir)
    if found.terminal:
        found = control.settle(run_dir)
    sizes: boot.Frame = {name: (run_dir / name).stat().st_size for name in layout.logs(run_dir)}
    metrics: boot.Frame = {key: repr(value) for key, value in reading.last_metrics(run_dir).items()}
    return {
        "found": True,
        "token": owner.get("token"),
        "status": {**asdict(found), "times": dict(found.times)},
        "supervised": supervised,
        "logs": sizes,
        "metrics": metrics,
        "params": dict(reading.params(run_dir)),
        "now": layout.utc_now(),
    }, b""


def _unborn(run_dir: Path) -> bool:
    """Tell whether a run's folder is there, and neither a supervisor nor its first word is."""
    return run_dir.is_dir() and not _locked(run_dir) and reading.status(run_dir).state == status.NOT_STARTED


def _locked(run_dir: Path) -> bool:
    return processes.is_locked(run_dir / layout.LOCK)


def _cancel(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Ask a run to end; durable on answer."""
    run_dir = _run_dir(request)
    return {"canceled": run_dir.is_dir() and control.cancel(run_dir, "canceled by the user")}, b""


def _history(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Return the logged values, of one metric or of all, from a place in the order of logging on."""
    key, start = request.get("key"), int(str(request.get("start") or 0))
    found = reading.metrics(_run_dir(request))
    points: list[Json] = [
        [point.key, repr(point.value), point.timestamp, point.step]
        for point in found[start:]
        if key is None or point.key == key
    ]
    return {"points": points}, b""


def _files(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """List outputs, named outputs and logs: name, path in the run's folder, size, time of change in ns."""
    run_dir = _run_dir(request)
    roots = [(name, layout.workdir(run_dir) / name) for name in layout.COLLECTED]
    roots.append((NAMED_OUTPUTS, run_dir / NAMED))
    found: list[Json] = [
        [f"{prefix}/{path.relative_to(root)}", str(path.relative_to(run_dir)), *_version(path)]
        for prefix, root in roots
        for path in _below(root)
    ]
    found += [[name, name, *_version(run_dir / name)] for name in layout.logs(run_dir)]
    return {"found": run_dir.is_dir(), "files": found}, b""


def _version(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _below(root: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, in order; links and names that are not text are left out."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and _is_text(str(path)):
                yield path


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Read a file of a run from an offset on; nothing where there is none."""
    name, offset, length = str(request["path"]), int(str(request["offset"])), int(str(request["length"]))
    run_dir = _run_dir(request)
    path = run_dir / name
    if ".." in Path(name).parts or not path.is_relative_to(run_dir):
        raise ValueError(f"{name!r} does not stay inside the run's folder")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return {"found": False}, b""
    try:
        return {"found": True}, os.pread(fd, length, offset)
    finally:
        os.close(fd)


def _hello(_request: Mapping[str, Json], _body: bytes) -> tuple[boot.Frame, bytes]:
    """Answer, so that the client knows that we are here."""
    return {}, b""


HANDLERS: dict[str, Callable[[Mapping[str, Json], bytes], tuple[boot.Frame, bytes]]] = {
    "hello": _hello,
    "preflight": _preflight,
    "launch": _launch,
    "look": _look,
    "cancel": _cancel,
    "history": _history,
    "files": _files,
    "read": _read,
}
