"""Puts a job's inputs, and what is at its outputs already, on its nodes.

Azure mounts or downloads them before the command starts. An input that is mounted read-only is one copy for all nodes;
one that the job may write into is a copy of its own on each.
"""

from __future__ import annotations

import shutil
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import certifi

from emulator import blobstore, ml, uris
from emulator.routing import Refusal
from node import layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from http.client import HTTPMessage
    from pathlib import Path
    from typing import IO

    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Json

FILES = frozenset({"uri_file", "custom_model"})
"""Types of which an input may be one file."""
MOUNTED = frozenset({"ReadOnlyMount", "EvalMount", None, ""})
"""Modes in which nothing is written; read-only mount is the default (azure-docs how-to-read-write-data-v2)."""
PATIENCE_S = 30.0
"""For a connection, and for each read."""


def place(cloud: Cloud, workspace: Workspace, inputs: dict[str, Json], dirs: Sequence[Path]) -> list[dict[str, Json]]:
    """Fill the folders; return `inputs` of each node's `job.json`. Raises `Refusal` naming the input."""
    made: list[dict[str, Json]] = [{} for _ in dirs]
    for name, raw in inputs.items():
        given = ml.obj(raw)
        uri = ml.text(given.get("uri"))
        if given.get("jobInputType") == "literal" or given.get("mode") == "Direct":
            value = uri if given.get("mode") == "Direct" else ml.text(given.get("value"))
            for entry in made:
                entry[name] = {"value": value}
            continue
        shared = given.get("mode") in MOUNTED
        for rank, folder in enumerate(dirs):
            if shared and rank:
                made[rank][name] = made[0][name]
                continue
            path = _bring(cloud, workspace, name, given, folder / "inputs" / name)
            made[rank][name] = {"path": str(path)}
    return made


def _bring(cloud: Cloud, workspace: Workspace, name: str, given: dict[str, Json], folder: Path) -> Path:
    uri, kind = ml.text(given.get("uri")), given.get("jobInputType")
    if uris.elsewhere(cloud, uri):
        if kind not in FILES:
            text = f"The input '{name}' is a folder, and '{uri}' can only be fetched as one file: use type uri_file."
            raise Refusal(400, "UserError", text)
        return fetch(name, uri, folder)
    where, prefix = uris.resolve(cloud, workspace, uri)
    if not copy(cloud, where, prefix, folder):
        raise Refusal(400, "UserError", f"The input '{name}' has no files at '{uri}'.")
    single = folder / PurePosixPath(prefix).name
    return single if kind in FILES and single.is_file() else folder


def copy(cloud: Cloud, where: blobstore.Where, prefix: str, folder: Path) -> int:
    """Copy the blobs at or below a prefix into a folder; returns how many. Names that would leave it are refused."""
    found = [
        blob
        for blob in blobstore.listing(cloud, where, prefix)
        if not prefix or blob.name == prefix or blob.name.startswith(f"{prefix}/")
    ]
    for blob in found:
        name = PurePosixPath(blob.name).name if blob.name == prefix else blob.name[len(prefix) :].lstrip("/")
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise Refusal(400, "UserError", f"The blob name '{blob.name}' does not make a path.")
        target = folder.joinpath(*parts)
        layout.private_dir(target.parent)
        shutil.copyfile(blob.path, target)
    return len(found)


class _Https(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone: what was asked for with protection must not come without."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - as urllib has it
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise urllib.error.URLError(f"it redirects to {urlsplit(newurl).scheme}, not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def trust() -> ssl.SSLContext:
    """Return whom to trust: the machine's authorities, those of SSL_CERT_FILE, and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def fetch(name: str, uri: str, folder: Path) -> Path:
    """Download one file of the web into a folder. Raises `Refusal` saying why it can't be had."""
    leaf, shown = PurePosixPath(unquote(urlsplit(uri).path)).name, uri.partition("?")[0]  # its query may be a secret
    if leaf in {"", ".", ".."}:
        raise Refusal(400, "UserError", f"The input '{name}': '{shown}' names no file.")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust()), _Https())
    target = layout.private_dir(folder) / leaf
    try:
        with opener.open(uri, timeout=PATIENCE_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        error.close()
        why = f"{error.code} {HTTPStatus(error.code).phrase if error.code in set(HTTPStatus) else error.reason}"
        raise Refusal(400, "UserError", f"The input '{name}' could not be fetched from '{shown}': {why}.") from error
    except (OSError, ValueError) as error:
        why = str(getattr(error, "reason", error))
        raise Refusal(400, "UserError", f"The input '{name}' could not be fetched from '{shown}': {why}.") from error
    return target
