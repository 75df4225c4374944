"""Inputs that are not on this machine, for targets that read files: fetched once per content into the user's cache.

What the workspace's own targets get is the address itself; the service mounts or downloads it there. A cached copy has
the name of its content's validators (names, sizes, ETags), is put in place whole, and is never written to again.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from runtime import blobs, paths, web, wire
from runtime.blobs import Place
from runtime.control_plane import path as arm_path
from runtime.errors import ConnectionLostError, RefusedError, SpecError, StoreError
from runtime.events import Event, size
from runtime.project import private_folder
from runtime.transport import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.control_plane import ControlPlane
    from runtime.events import OnEvent
    from runtime.jobfile import JobFile
    from runtime.records import Kind
    from specs.job import DataInput

DATA = "2023-04-01-preview"
"""Microsoft.MachineLearningServices: DataContainers_Get, DataVersions_Get, as azure-ai-ml 1.35.2 asks."""
ON_NODES = frozenset({"AmlCompute", "ComputeInstance"})
UNABLE = {
    "rw_mount": "would have to write back to where it comes from. Allowed: ro_mount, download, direct",
    "eval_mount": "is evaluated by the workspace's own targets only. Allowed: ro_mount, download, direct",
    "eval_download": "is evaluated by the workspace's own targets only. Allowed: ro_mount, download, direct",
    "upload": "is a way for outputs. Allowed: ro_mount, download, direct",
}
"""Modes of an input that is not on the machine which runs the job, by what is in the way."""
_SHORT = re.compile(r"azureml://datastores/(?P<store>[^/]+)/paths/(?P<path>.*)", re.IGNORECASE)
_LONG = re.compile(
    r"azureml:/(?P<workspace>/subscriptions/[^/]+/resource[gG]roups/[^/]+(?:/providers/Microsoft\.MachineLearningServices)?"
    r"/workspaces/[^/]+)/datastores/(?P<store>[^/]+)/paths/(?P<path>.*)"
)
_BLOB_HOST = re.compile(r"[a-z0-9]{3,24}\.blob\.[a-z0-9.:-]+", re.IGNORECASE)
_HADOOP = re.compile(r"(?P<scheme>wasbs|abfss)://(?P<container>[^@/]+)@(?P<host>[^/]+)/?(?P<path>.*)")
_PRIVATE = frozenset({401, 403, 404, 409})
"""What a storage account answers to a stranger; 409 is PublicAccessNotPermitted."""


@dataclass(frozen=True, slots=True)
class Home:
    """The workspace in which names of datastores and data assets mean something."""

    plane: ControlPlane
    workspace_id: str


class _Blobs(NamedTuple):
    place: Place
    prefix: str


def check(source: JobFile, kind: Kind) -> None:
    """Refuse the modes that a target can't do, before anything is written. Raises `SpecError`."""
    for name, given in source.data.items():
        text = given.path or ""
        at = ("inputs", name, "mode")
        own = kind == "Local" and source.local(name, given) is not None
        if given.mode == "upload" or (kind not in ON_NODES and given.mode in UNABLE and not own):
            message = f"{given.mode} can't be done on this target: it {UNABLE[given.mode]}."
            raise source.wrong(at, message, given=given.mode, rule="input-mode")
        if own and given.mode in {"eval_mount", "eval_download"}:
            message = f"{given.mode} can't be done on this target: it {UNABLE[given.mode]}."
            raise source.wrong(at, message, given=given.mode, rule="input-mode")
        if kind not in ON_NODES and text.startswith(("http://", "adl://")):
            message = "is read over HTTPS or from blob storage only."
            raise source.wrong(("inputs", name, "path"), message, given=web.shown(text), rule="input-scheme")


def needs_workspace(source: JobFile) -> list[str]:
    """Name the inputs whose address means something in a workspace only."""
    return [
        name for name, given in source.data.items() if (given.path or "").startswith(("azureml:", "/subscriptions/"))
    ]


def fetch(source: JobFile, name: str, home: Home | None, cache: Path, say: OnEvent) -> Path:
    """Return a local copy of a remote input, fetching what the cache lacks. Blocking; safe to repeat.

    Raises: `SpecError` for an address that leads nowhere, `RefusedError`, `ConnectionLostError`, `StoreError`.
    """
    given = source.data[name]
    folder = private_folder(cache / "data")
    try:
        text = _asset(source, name, home, given.path or "")
        target = _blobs(source, name, home, text)
        if target is None:
            return _web(text, name, folder, say)
        if home is None or _is_public(home.plane, target):
            return _web(_signed(target), name, folder, say)
        found = _listed(home.plane, target)
        if not found:
            raise _wrong(source, name, "leads to no file. Upload it there, or mend the path.", given)
        return _copied(target, found, _Way(home.plane, name, folder, say))
    except (RefusedError, ConnectionLostError) as error:
        at = _wrong(source, name, "", given).problems[0]
        error.args = (f"{at.file}:{at.line}:{at.column}: {at.field} can't be fetched: {error}",)
        raise
    except OSError as error:
        raise StoreError(f"{folder} can't be written: {error.strerror}. Nothing was submitted") from None


def _wrong(source: JobFile, name: str, message: str, given: DataInput) -> SpecError:
    return source.wrong(("inputs", name, "path"), message, given=web.shown(given.path or ""), rule="input")


def _home(source: JobFile, name: str, home: Home | None) -> Home:
    if home is None:
        message = "means something in a workspace only, and no stack is chosen that has one. Name one: --stack"
        raise source.wrong(("inputs", name, "path"), message, given=source.data[name].path, rule="input-workspace")
    return home


def _asset(source: JobFile, name: str, home: Home | None, text: str) -> str:
    """Return what a data asset or a model points to; any other address as it is."""
    if not text.startswith(("azureml:", "/subscriptions/")) or text.startswith("azureml://"):
        return text
    there, sort = _home(source, name, home), source.data[name].asset
    id_ = text.removeprefix("azureml:")
    if not id_.startswith("/subscriptions/"):
        asset, colon, version = id_.partition(":")
        asset, _, label = asset.partition("@")
        root = f"{there.workspace_id}{arm_path(sort, asset)}"
        if not colon and label == "latest":
            version = wire.text(wire.at(there.plane.find(root, DATA), "properties", "latestVersion"))
        id_ = f"{root}{arm_path('versions', version)}" if version else ""
    document = there.plane.find(id_, DATA) if id_ else None
    uri = wire.text(wire.at(document, "properties", "modelUri" if sort == "models" else "dataUri"))
    if not uri:
        what = "model" if sort == "models" else "data asset"
        message = f"the workspace has no such {what}. Register it there, or give the path of its files."
        raise source.wrong(("inputs", name, "path"), message, given=text, rule="input-asset")
    return uri


def _blobs(source: JobFile, name: str, home: Home | None, text: str) -> _Blobs | None:
    """Return the container that an address leads to, and what of it; None for any other HTTPS address."""
    if found := _SHORT.fullmatch(text) or _LONG.fullmatch(text):
        there = _home(source, name, home)
        workspace = found.groupdict().get("workspace") or there.workspace_id
        if "/providers/" not in workspace:
            workspace = workspace.replace("/workspaces/", "/providers/Microsoft.MachineLearningServices/workspaces/", 1)
        return _Blobs(blobs.datastore(there.plane, workspace, found["store"]), found["path"].strip("/"))
    if hadoop := _HADOOP.fullmatch(text):
        # The two endpoints of one account: docs "Azure Data Lake Storage URI", "multi-protocol access".
        host = hadoop["host"].replace(".dfs.", ".blob.", 1)
        return _Blobs(Place(f"https://{host}/{hadoop['container']}", None), unquote(hadoop["path"]).strip("/"))
    if text.startswith("https://"):
        parts = urlsplit(text)
        container, _, rest = parts.path.lstrip("/").partition("/")
        if not _BLOB_HOST.fullmatch(parts.netloc) or not container:
            return None
        return _Blobs(Place(f"https://{parts.netloc}/{container}", parts.query or None), unquote(rest).strip("/"))
    message = "is no address that can be read. Allowed: a local path, azureml:…, https://, wasbs://, abfss://."
    raise _wrong(source, name, message, source.data[name])


def _signed(target: _Blobs) -> str:
    return target.place.blob(target.prefix)


def _is_public(plane: ControlPlane, target: _Blobs) -> bool:
    """Tell whether a stranger may read the one blob at an address; a container's list may still be closed to him."""
    if not target.prefix or target.place.signature is not None:
        return False
    headers = {"x-ms-version": blobs.VERSION, "x-ms-range": "bytes=0-0"}
    return plane.exchange(Request("GET", _signed(target), headers), scope=None).status not in _PRIVATE


def _listed(plane: ControlPlane, target: _Blobs) -> list[blobs.Blob]:
    """List the blobs at an address."""
    place = target.place
    if place.signature and "sr=b" in place.signature.split("&"):
        return [blobs.Blob(target.prefix, -1)]  # a signature for this one blob, which can't list
    inside = f"{target.prefix}/" if target.prefix else ""
    found = blobs.listing(plane, place, target.prefix)
    return [blob for blob in found if blob.name == target.prefix or blob.name.startswith(inside)]


@dataclass(frozen=True, slots=True)
class _Way:
    """How a copy is made, and whom to tell."""

    plane: ControlPlane
    name: str
    folder: Path
    say: OnEvent


def _copied(target: _Blobs, found: list[blobs.Blob], way: _Way) -> Path:
    described = [[target.place.url, target.prefix], *[[blob.name, blob.size, blob.etag] for blob in found]]
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    single = [blob.name for blob in found] == [target.prefix]
    last = target.prefix.rpartition("/")[2] or "data"
    kept = way.folder / key
    # Where nothing tells one content from another, nothing that was kept can be trusted.
    if not kept.is_dir() or any(not blob.etag for blob in found):
        with _Draft(kept) as draft:
            for blob in found:
                name = last if single else f"{last}/{blob.name[len(target.prefix) :].lstrip('/')}"
                paths.store(draft, name, blobs.content(way.plane, target.place, blob.name))
        way.say(Event("data", f"{way.name}: {size(_bytes(kept))} fetched"))
    else:
        way.say(Event("data", f"{way.name}: in the cache, nothing fetched"))
    return kept / last


def _web(url: str, name: str, folder: Path, say: OnEvent) -> Path:
    last = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]) or "data"
    with web.opened(url) as page:
        kept = folder / (page.validator or hashlib.sha256(url.encode()).hexdigest())
        if page.validator and kept.is_dir():
            say(Event("data", f"{name}: in the cache, nothing fetched"))
            return kept / last
        with _Draft(kept) as draft:
            paths.store(draft, last, _told(page, partial(_progress, name, say)))
    say(Event("data", f"{name}: {size(_bytes(kept))} fetched"))
    return kept / last


def _progress(name: str, say: OnEvent, done: int, total: int | None) -> None:
    say(Event("upload", name, done, total))


def _told(page: web.Page, tell: partial[None]) -> Iterable[bytes]:
    done = 0
    for chunk in page.chunks:
        done += len(chunk)
        if page.size:
            tell(done, page.size)
        yield chunk


class _Draft:
    """A folder that takes its place when it is whole; where another process was first, that one's stays."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._draft = Path()

    def __enter__(self) -> Path:
        self._draft = Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._kept.parent))
        return self._draft

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                if self._kept.is_dir():
                    old = Path(tempfile.mkdtemp(prefix=".old-", dir=self._kept.parent))
                    self._kept.rename(old / "data")
                    shutil.rmtree(old, ignore_errors=True)
                self._draft.rename(self._kept)
        except OSError:
            if not self._kept.is_dir():
                raise
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for _, file in paths.files_below(folder))
