"""The workspace's model registry: a model is files in its storage, a version, and the hash of every file.

A run on a cluster left its files in the workspace already, so the version refers to them; what is on this machine is
sent first. Calls and api-version are azure-ai-ml 1.35.2's (models 2023-08-01-preview, recorded).
"""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runtime import assets, blobs, outputs, paths, snapshot, submitters, wire
from runtime import history as histories
from runtime.control_plane import path as segments
from runtime.errors import NotDeployedError, NotFoundError, Problem, RefusedError, SpecError
from runtime.project import DATA
from runtime.runs import Run
from runtime.site import open_site

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runtime.control_plane import ControlPlane
    from runtime.project import Project
    from runtime.site import RunFile, Site
    from runtime.wire import Object
    from specs.outputs import StackOutputs

API = "2023-08-01-preview"
HASHES, RUN = "trainyard.sha256", "trainyard.run"
CONFLICTS = frozenset({400, 409})
TRIES = 8
PARALLEL = 8
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_URI = re.compile(r"azureml://(?:subscriptions/.+/workspaces/[^/]+/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.+)")
_JOB = re.compile(r"azureml://jobs/(?P<job>[^/]+)/outputs/artifacts/(?:paths/)?(?P<path>.+)")


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a registered model."""

    name: str
    version: str
    id: str
    """ARM id."""
    uri: str
    type: str
    """custom_model, mlflow_model or triton_model."""
    sha256: dict[str, str]
    """By file, relative to the model; empty when another tool registered it."""
    run: str | None
    """The run that made it."""
    created: str
    tags: dict[str, str]

    def document(self) -> Object:
        """Return it for `--json`."""
        return {
            "name": self.name,
            "version": self.version,
            "id": self.id,
            "uri": self.uri,
            "type": self.type,
            "sha256": dict(self.sha256),
            "run": self.run,
            "created": self.created,
            "tags": dict(self.tags),
        }


@dataclass(frozen=True, slots=True)
class Details:
    """What may be said about a model when it is registered."""

    version: str | None = None
    """Absent: the next free number."""
    type: Literal["custom_model", "mlflow_model", "triton_model"] = "custom_model"
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    path: str = "outputs"
    """Of a run: which of its files, e.g. `outputs/model.joblib`."""


def register(  # noqa: PLR0913 - two nouns and a name, and keywords with defaults but one
    project: Project,
    source: Run | Path,
    name: str,
    *,
    stack: str | StackOutputs,
    details: Details | None = None,
    site: Site | None = None,
) -> Model:
    """Register a run's files, or a local file or folder, as the next version of a model.

    Raises `NotDeployedError` without a deployed stack (there is no local registry), `SpecError`, `NotFoundError`,
    `RefusedError`. Repeating it makes another version.
    """
    if not NAME.fullmatch(name):
        message = "a model's name has 1 to 255 letters, digits, _ . and -, and starts with a letter or digit."
        raise SpecError([Problem("--name", 0, 0, "name", message, given=f'"{name}"', rule="model-name")])
    about = details or Details()
    known = _known(project, stack)
    here = site or open_site(project)
    plane = here.cloud(known.cloud)
    if isinstance(source, Run):
        workspace = source.record.workspace_id or _workspace(known)
        uri, hashes = _of_run(source, plane, workspace, about.path)
    else:
        workspace = _workspace(known)
        uri, hashes = _of_files(source, _files(project, source), plane, workspace)
    properties = _properties(about, uri, hashes, source.id if isinstance(source, Run) else None)
    return _put(plane, workspace, name, about.version, properties)


def _properties(about: Details, uri: str, hashes: dict[str, str], run: str | None) -> Object:
    return {
        "modelUri": uri,
        "modelType": about.type,
        "description": about.description,
        "tags": dict(about.tags),
        "properties": {HASHES: json.dumps(hashes, sort_keys=True), **({RUN: run} if run else {})},
        "flavors": {},
        "isArchived": False,
    }


def _known(project: Project, stack: str | StackOutputs) -> StackOutputs:
    if not isinstance(stack, str):
        return stack
    try:
        return outputs.load(project, stack)
    except NotDeployedError:
        why = "was never brought up here, and models live in its workspace's registry"
        raise NotDeployedError(stack, why) from None


def _workspace(known: StackOutputs) -> str:
    """Return the workspace of the default target, else the first."""
    target = known.targets.get(known.default_target)
    key = target.workspace if target else next(iter(known.workspaces))
    return known.workspaces[key].id


def _of_run(run: Run, plane: ControlPlane, workspace: str, path: str) -> tuple[str, dict[str, str]]:
    """Return where a run's files are and their hashes; those of a Local run are sent."""
    prefix = path.strip("/")
    if not prefix:
        raise _no_path(f"names none of the files of {run.id}. Give one, or a folder of them, e.g. outputs.", path)
    listed = submitters.of(run.record.kind).files(run.site, run.record)
    found = [file for file in listed if file.name == prefix or file.name.startswith(f"{prefix}/")]
    if not found:
        there = ", ".join(file.name for file in listed[:8]) or "none"
        raise NotFoundError(f"{run.id} left nothing at {path}. Its files: {there}")
    if run.record.kind == "Local":
        from runtime.submitters import local as machine

        local = machine.place(run.site, run.record, prefix)
        return _of_files(local, list(paths.files_below(local)), plane, workspace)
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="hash") as pool:
        digests = list(pool.map(_digest, found))
    hashes = {_inside(file.name, prefix): digest for file, digest in zip(found, digests, strict=True)}
    return f"azureml://datastores/{histories.ARTIFACTS}/paths/{histories.folder(run.record)}{prefix}", hashes


def _no_path(message: str, given: Path | str) -> SpecError:
    return SpecError([Problem("--path", 0, 0, "path", message, given=f'"{given}"', rule="model-path")])


def _files(project: Project, local: Path) -> list[tuple[str, Path]]:
    """List what of a local path is the model, by the rules for source folders: ignored files stay, secrets refuse."""
    allowed = "Give a file, or a folder that holds the model and nothing else, e.g. model/."
    if local == Path():
        raise _no_path(f"names no file and no folder of its own. {allowed}", local)
    try:
        here = local.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # also a loop of links, a name too long, a NUL
        raise _no_path("no such file or folder.", local) from None
    if DATA in here.parts:
        raise _no_path(f"lies in {DATA}, which is private. {allowed} Files of a run: name the run instead.", local)
    if (project.root / DATA).resolve().is_relative_to(here):
        raise _no_path(f"holds the project's {DATA}, where its secrets are. {allowed}", local)
    if here.is_file():
        return [(local.name, here)]
    return [(file.path, Path(file.source)) for file in snapshot.plan(here, shown=str(local)).files]


def _of_files(
    local: Path, files: list[tuple[str, Path]], plane: ControlPlane, workspace: str
) -> tuple[str, dict[str, str]]:
    uri, _ = assets.send(plane, workspace, paths.named(local), files)
    return uri, {name: paths.digest(file) for name, file in files}


def _digest(file: RunFile) -> str:
    found = hashlib.sha256()
    for chunk in file.read():
        found.update(chunk)
    return found.hexdigest()


def _inside(name: str, prefix: str) -> str:
    return name.rpartition("/")[2] if name == prefix else name[len(prefix) + 1 :]


def _put(plane: ControlPlane, workspace: str, name: str, version: str | None, properties: Object) -> Model:
    """PUT the version; one that another took meanwhile makes it the next."""
    container = f"{workspace}{segments('models', name)}"
    for _ in range(TRIES):
        number = version or wire.text(wire.at(plane.find(container, API), "properties", "nextVersion")) or "1"
        address = f"{container}{segments('versions', number)}"
        if plane.find(address, API) is not None:
            if version:
                message = (
                    f"the workspace has {name}:{version} already. Versions can't change: leave it out for the next."
                )
                raise SpecError([Problem("--version", 0, 0, "version", message, given=version, rule="model-version")])
            continue
        try:
            return _model(plane.put(address, {"properties": properties}, API))
        except RefusedError as refused:
            if version or refused.status not in CONFLICTS or plane.find(address, API) is None:
                raise
    raise RefusedError(f"no free version of {name} was found: others register at the same moment", code="Conflict")


def models(project: Project, stack: str | StackOutputs, *, site: Site | None = None) -> list[Model]:
    """List every version of every model in the stack's workspaces, by name, the newest version first."""
    known, here = _known(project, stack), site or open_site(project)
    plane = here.cloud(known.cloud)
    found = list[Model]()
    for workspace in known.workspaces.values():
        names = [wire.text(item.get("name")) for item in plane.list(f"{workspace.id}/models", API)]
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="models") as pool:
            for versions in pool.map(partial(_versions, plane, workspace.id), sorted(names)):
                found += versions
    return found


def _versions(plane: ControlPlane, workspace: str, name: str) -> list[Model]:
    listed = plane.list(f"{workspace}{segments('models', name, 'versions')}", API)
    return sorted((_model(item) for item in listed), key=_order, reverse=True)


def _order(model: Model) -> tuple[int, str]:
    return (int(model.version) if model.version.isdigit() else -1, model.version)


def find_model(project: Project, reference: str, stack: str | StackOutputs, *, site: Site | None = None) -> Model:
    """Find `NAME`, `NAME:VERSION` or `NAME@latest`, with or without `azureml:`. Raises `NotFoundError`."""
    known, here = _known(project, stack), site or open_site(project)
    plane = here.cloud(known.cloud)
    bare = reference.removeprefix("azureml:")
    name, _, version = bare.partition("@")[0].partition(":")
    for workspace in known.workspaces.values():
        if version:
            found = plane.find(f"{workspace.id}{segments('models', name, 'versions', version)}", API)
            if found is not None:
                return _model(found)
        elif versions := _if_any(plane, workspace.id, name):
            return versions[0]
    there = sorted({model.name for model in models(project, known, site=here)})
    raise NotFoundError(f"no model {bare} in stack {known.stack}. Registered: {', '.join(there) or 'none'}")


def _if_any(plane: ControlPlane, workspace: str, name: str) -> list[Model]:
    if plane.find(f"{workspace}{segments('models', name)}", API) is None:
        return []
    return _versions(plane, workspace, name)


def download(project: Project, model: Model, destination: Path, *, site: Site | None = None) -> list[Path]:
    """Fetch a model's files beneath a folder and check each against its hash. Returns every path, written or there.

    Raises `RefusedError` for a file that isn't the one registered (nothing of it stays), `SpecError` for one that is
    here with other content.
    """
    here = site or open_site(project)
    workspace = model.id.partition("/models/")[0]
    plane = here.cloud("emulator" if _is_emulator(model) else "azure")
    store, prefix = _where(model)
    place = blobs.datastore(plane, workspace, store)
    found = [
        blob
        for blob in blobs.listing(plane, place, prefix)
        if blob.name == prefix or blob.name.startswith(f"{prefix}/")
    ]
    missing = set(model.sha256) - {_inside(blob.name, prefix) for blob in found}
    if not found or missing:
        lacks = ", ".join(sorted(missing)) or "all"
        raise RefusedError(f"the storage lacks files of {model.name}:{model.version}: {lacks}")
    paths.destination(destination)

    def fetch(blob: blobs.Blob) -> Path:
        name = _inside(blob.name, prefix)
        content = _verified(model, name, blobs.content(plane, place, blob.name))
        paths.store(destination, name, content)
        return destination / name

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="download") as pool:
        return list(pool.map(fetch, found))


def _is_emulator(model: Model) -> bool:
    from specs.base import EMULATOR_SUBSCRIPTION_ID

    return model.id.split("/")[2] == EMULATOR_SUBSCRIPTION_ID


def _verified(model: Model, name: str, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield content and fail at its end when it isn't what was registered."""
    digest = hashlib.sha256()
    for chunk in content:
        digest.update(chunk)
        yield chunk
    if model.sha256 and model.sha256.get(name) != digest.hexdigest():
        raise RefusedError(f"{name} of {model.name}:{model.version} is not the file that was registered", code="sha256")


def _where(model: Model) -> tuple[str, str]:
    if found := _URI.fullmatch(model.uri):
        return found["store"], found["path"].strip("/")
    if found := _JOB.fullmatch(model.uri):
        return histories.ARTIFACTS, f"ExperimentRun/dcid.{found['job']}/{found['path'].strip('/')}"
    raise RefusedError(f"{model.name}:{model.version} is at {model.uri}, which can't be fetched from here")


def _model(document: Object) -> Model:
    id_ = wire.text(document.get("id"))
    properties = wire.obj(document.get("properties"))
    own = wire.obj(properties.get("properties"))
    try:
        hashes = wire.obj(wire.parse(wire.text(own.get(HASHES)).encode() or b"{}"))
    except ValueError:
        hashes = {}
    return Model(
        name=id_.partition("/models/")[2].partition("/")[0],
        version=wire.text(document.get("name")),
        id=id_,
        uri=wire.text(properties.get("modelUri")),
        type=wire.text(properties.get("modelType")) or "custom_model",
        sha256={name: wire.text(value) for name, value in hashes.items()},
        run=wire.text(own.get(RUN)) or wire.text(properties.get("jobName")) or None,
        created=wire.text(wire.at(document, "systemData", "createdAt")),
        tags={name: wire.text(value) for name, value in wire.obj(properties.get("tags")).items()},
    )
