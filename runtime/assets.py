"""What a job needs to have in its workspace: code, environment, data. Found by content, else sent; safe to repeat.

The calls and api-versions are those of azure-ai-ml 1.35.2 (recorded): codes 2023-04-01, environments and data
2023-04-01-preview. Names follow from content, so that two submissions at the same moment make the same asset.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from functools import partial
from typing import TYPE_CHECKING

import yaml

from runtime import blobs, environments, paths, snapshot, wire
from runtime.blobs import Place, Source
from runtime.control_plane import path
from runtime.errors import RefusedError
from runtime.project import DATA as PRIVATE
from specs import loader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runtime.control_plane import ControlPlane
    from runtime.jobfile import JobFile
    from runtime.snapshot import Snapshot
    from runtime.wire import Object
    from specs.job_parts import Build, Environment

CODES = "2023-04-01"
ENVIRONMENTS = DATA = "2023-04-01-preview"
HASH_VERSION = "202208"
FOLDER = "snapshot"
ANONYMOUS = "CliV2AnonymousEnvironment"
"""The name under which azure-ai-ml keeps environments written inside a job."""
BLOBSTORE = "workspaceblobstore"
FETCHED = ("http://", "https://", "git+", "git@")
"""How a build context begins that the workspace fetches itself."""
_NAMESPACE = uuid.UUID("a8f5f167-f44f-4964-a6c5-a5bd1b1e3c0e")
CONFLICT, KEYLESS = 409, "KeyBasedAuthenticationNotPermitted"


def code(
    plane: ControlPlane, workspace_id: str, plan: Snapshot, on_sent: Callable[[int], None] | None = None
) -> tuple[str, int]:
    """Return the ARM id of the code version with this content and the bytes sent: 0 when it was there."""
    name = str(uuid.uuid5(_NAMESPACE, plan.hash_202208))
    versions = f"{workspace_id}{path('codes', name, 'versions')}"
    query = {"hash": plan.hash_202208, "hashVersion": HASH_VERSION}
    for found in plane.list(versions, CODES, query):
        return wire.text(found.get("id")), 0
    version = f"{versions}/1"
    reference = wire.obj(
        plane.post(f"{version}/startPendingUpload", {"pendingUploadType": "TemporaryBlobReference"}, CODES).get(
            "blobReferenceForConsumption"
        )
    )
    blob_uri = wire.text(reference.get("blobUri")).rstrip("/")
    signed = wire.text(wire.at(reference, "credential", "sasUri"))
    place = blobs.split(signed) if signed else Place(blob_uri, None)
    sources = [Source(f"{FOLDER}/{file.path}", partial(snapshot.read, file, str(plan.root))) for file in plan.files]
    try:
        sent = blobs.upload(plane, place, sources, on_sent)
    except RefusedError as refused:
        if refused.code != KEYLESS or place.signature is None:
            raise
        # Storage without keys takes no signature made of one: our own identity is what is left.
        sent = blobs.upload(plane, Place(blob_uri, None), sources, on_sent)
    tagged: Object = {"hash_sha256": plan.hash_202208, "hash_version": HASH_VERSION}
    body: Object = {"properties": {"codeUri": f"{blob_uri}/{FOLDER}", "isAnonymous": True, "properties": tagged}}
    return _put(plane, version, body, CODES), sent


def _put(plane: ControlPlane, version: str, body: Object, api: str) -> str:
    """PUT an immutable version; one that another submission made meanwhile from the same content is as good."""
    try:
        return wire.text(plane.put(version, body, api).get("id"))
    except RefusedError as refused:
        found = plane.find(version, api) if refused.status == CONFLICT else None
        if found is None:
            raise
        return wire.text(found.get("id"))


def code_id(workspace_id: str, given: str, source: JobFile) -> str:
    """Return the id of code that is an asset already: `azureml:NAME:VERSION`, a registry's, or an ARM id."""
    text = given.removeprefix("azureml:") if "/subscriptions/" in given else given
    if text.startswith(("/subscriptions/", "azureml://registries/")):
        return text
    name, _, version = text.removeprefix("azureml:").partition(":")
    if not name or not version or "/" in text:
        message = "is no code. Allowed: a local folder, azureml:NAME:VERSION, an ARM id of a code version."
        raise source.wrong(("code",), message, given=given, rule="code")
    return f"{workspace_id}{path('codes', name, 'versions', version)}"


def check_environment(source: JobFile) -> None:
    """Find what is wrong with a job's environment before anything is sent. Raises `SpecError`."""
    given = source.job.environment
    if isinstance(given, str):
        if "/subscriptions/" not in given:
            environments.reference(given, source.document)
        return
    if given.build:
        _check_build(given, given.build, source)
        return
    if not given.image:
        message = "needs an image: the workspace installs the conda_file into one."
        raise source.wrong(("environment",), message, rule="environment-image")
    if isinstance(given.conda_file, str):
        file = source.base / given.conda_file
        if not file.is_file():
            at = ("environment", "conda_file")
            raise source.wrong(at, "no such file.", given=given.conda_file, rule="conda-file")
        loader.read(file, os.path.relpath(file))


def _check_build(given: Environment, build: Build, source: JobFile) -> None:
    """Check a Docker build context: azure-ai-ml refuses an image beside it, and the workspace needs the Dockerfile."""
    at = ("environment", "build")
    for name in ("image", "conda_file"):
        if getattr(given, name):
            message = "stands beside build, which makes the image. Delete one of the two."
            raise source.wrong(("environment", name), message, rule="environment-build")
    if build.path.startswith(FETCHED):
        return
    folder = source.base / build.path
    if not folder.is_dir():
        raise source.wrong((*at, "path"), "no such folder.", given=build.path, rule="environment-build")
    if not (folder / build.dockerfile_path).is_file():
        message = f"no such file in {build.path}."
        raise source.wrong((*at, "dockerfile_path"), message, given=build.dockerfile_path, rule="environment-build")
    snapshot.plan(folder, shown=os.path.relpath(folder))


def environment(plane: ControlPlane, workspace_id: str, source: JobFile) -> tuple[str, str]:
    """Return the ARM id of the job's environment, and what it is in words. Raises `SpecError`."""
    given = source.job.environment
    if isinstance(given, str):
        words = given if given.startswith("azureml://") else given.removeprefix("azureml:")
        return _named(plane, workspace_id, given, source), words
    if given.build:
        body, words = _build(plane, workspace_id, given, given.build, source)
    else:
        body, words = _inline(given, source)
    version = given.version or hashlib.sha256(wire.dump(body)).hexdigest()[:32]
    name = given.name or ANONYMOUS
    if given.name and not given.version:
        version = _next_version(plane, workspace_id, given.name, body)
    address = f"{workspace_id}{path('environments', name, 'versions', version)}"
    return _put(plane, address, {"properties": body}, ENVIRONMENTS), words


def _inline(given: Environment, source: JobFile) -> tuple[Object, str]:
    conda: str | None = None
    words = given.image or ""
    if isinstance(given.conda_file, str):
        file = source.base / given.conda_file
        conda, words = file.read_text("utf-8"), f"{words} + {file.name}"
    elif given.conda_file is not None:
        conda, words = yaml.safe_dump(given.conda_file, sort_keys=False), f"{words} + conda_file"
    body: Object = {"image": given.image, **_described(given)}
    if conda is not None:
        body["condaFile"] = conda
    return body, words


def _described(given: Environment) -> Object:
    tags: Object = dict(given.tags)
    body: Object = {"isAnonymous": given.name is None, "isArchived": False, "osType": given.os_type.capitalize()}
    return body | ({"description": given.description} if given.description else {}) | ({"tags": tags} if tags else {})


def _build(
    plane: ControlPlane, workspace_id: str, given: Environment, build: Build, source: JobFile
) -> tuple[Object, str]:
    """Send a Docker build context, under its content's hash. The address ends in a slash, as the service wants it."""
    context = build.path
    if not context.startswith(FETCHED):
        folder = source.base / build.path
        plan = snapshot.plan(folder, shown=os.path.relpath(folder))
        place = blobs.datastore(plane, workspace_id, _store(given.datastore))
        root = f"LocalUpload/{plan.hash_202208}/{plan.root.name}"
        there = {blob.name: blob.size for blob in blobs.listing(plane, place, f"{root}/")}
        missing = [file for file in plan.files if there.get(f"{root}/{file.path}") != file.size]
        sources = [Source(f"{root}/{file.path}", partial(snapshot.read, file, str(plan.root))) for file in missing]
        blobs.upload(plane, place, sources)
        context = f"{place.url}/{root}/"
    made: Object = {"contextUri": context, "dockerfilePath": build.dockerfile_path}
    return {"build": made, **_described(given)}, f"{build.dockerfile_path} of {build.path}"


def _store(datastore: str | None) -> str:
    return (datastore or BLOBSTORE).removeprefix("azureml:")


def _next_version(plane: ControlPlane, workspace_id: str, name: str, body: Object) -> str:
    """Return the newest version when its content is this one, else the next (azure-ai-ml's autoincrement)."""
    container = f"{workspace_id}{path('environments', name)}"
    found = plane.find(container, ENVIRONMENTS)
    latest = wire.text(wire.at(found, "properties", "latestVersion"))
    if latest:
        known = wire.obj(plane.get(f"{container}{path('versions', latest)}", ENVIRONMENTS).get("properties"))
        if all(known.get(key) == body.get(key) for key in ("image", "condaFile", "build")):
            return latest
    return wire.text(wire.at(found, "properties", "nextVersion")) or "1"


def _named(plane: ControlPlane, workspace_id: str, given: str, source: JobFile) -> str:
    if given.startswith(("/subscriptions/", "azureml:/subscriptions/")):
        return given.removeprefix("azureml:")
    named = environments.reference(given, source.document)
    if named.registry:
        base = f"azureml://registries/{named.registry}/environments/{named.name}"
        return f"{base}/versions/{named.version}" if named.version else f"{base}/labels/{named.label or 'latest'}"
    container = f"{workspace_id}{path('environments', named.name)}"
    if named.version:
        return f"{container}{path('versions', named.version)}"
    latest = wire.text(wire.at(plane.find(container, ENVIRONMENTS), "properties", "latestVersion"))
    if not latest:
        message = "the workspace has no environment of this name. Write it out, with image and conda_file."
        raise source.wrong(("environment",), message, given=given, rule="environment-unknown")
    return f"{container}{path('versions', latest)}"


def data(plane: ControlPlane, workspace_id: str, local: Path, datastore: str | None = None) -> tuple[str, int]:
    """Send an input's file or folder to a datastore, by default the workspace's own; return its URI and the bytes sent.

    A project's private folder stays here, whatever folder around it is named.
    """
    found = [(name, file) for name, file in paths.files_below(paths.named(local)) if PRIVATE not in name.split("/")]
    return send(plane, workspace_id, paths.named(local), found, _store(datastore))


def send(
    plane: ControlPlane,
    workspace_id: str,
    local: Path,
    found: Sequence[tuple[str, Path]],
    store: str = BLOBSTORE,
) -> tuple[str, int]:
    """Send these files of a file or folder, under their content's hash; return the URI and the bytes sent."""
    digest = hashlib.sha256()
    for name, file in found:
        digest.update(f"{name}\0{paths.digest(file)}\n".encode())
    key = digest.hexdigest()[:32]
    root = f"LocalUpload/{key}" if local.is_file() else f"LocalUpload/{key}/{local.name}"
    place = blobs.datastore(plane, workspace_id, store)
    there = {blob.name: blob.size for blob in blobs.listing(plane, place, f"{root}/")}
    sources = [
        Source(f"{root}/{name}", partial(paths.chunks, file))
        for name, file in found
        if there.get(f"{root}/{name}") != file.stat().st_size
    ]
    sent = blobs.upload(plane, place, sources) if sources else 0
    tail = f"{root}/{local.name}" if local.is_file() else root
    return f"azureml://datastores/{store}/paths/{tail}", sent


def resolve_data(plane: ControlPlane, workspace_id: str, name: str, text: str, source: JobFile) -> str:
    """Return the URI of a remote input: a URI as it is, `azureml:NAME:VERSION` or `@latest` as an asset's id."""
    if text.startswith("azureml://") or not text.startswith("azureml:"):
        return text
    rest = text.removeprefix("azureml:")
    if rest.startswith("/subscriptions/"):
        return rest
    asset, colon, version = rest.partition(":")
    sort = source.data[name].asset
    if not colon:
        asset, _, label = rest.partition("@")
        found = plane.find(f"{workspace_id}{path(sort, asset)}", DATA) if label == "latest" else None
        version = wire.text(wire.at(found, "properties", "latestVersion"))
    document = plane.find(f"{workspace_id}{path(sort, asset, 'versions', version)}", DATA) if version else None
    if document is None:
        what = "model" if sort == "models" else "data asset"
        message = f"the workspace has no such {what}. Allowed: azureml:NAME:VERSION, azureml:NAME@latest."
        raise source.wrong(("inputs", name, "path"), message, given=text, rule="input-asset")
    return wire.text(document.get("id"))
