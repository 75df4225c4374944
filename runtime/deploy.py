"""Put a model behind an endpoint, send it requests, take it down: the front of `deployers/` and `services`.

Everything that can be wrong with the file, the code, the environment or the model is found before anything starts.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from runtime import environments, model_files, services, snapshot, wire
from runtime.deployers import local
from runtime.deployers.local import Deployment
from runtime.errors import ConnectionLostError, RefusedError, SpecError
from runtime.services import Service, delete, find, list_services
from specs.endpoint import OnlineDeployment, load_deployment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.project import Project
    from runtime.snapshot import Snapshot
    from specs.loader import Document
    from specs.outputs import StackOutputs

    Fetch: TypeAlias = Callable[[str, Path], "Fetched | str"]

__all__ = ["Answer", "Service", "Wishes", "delete", "deploy", "find", "list_services", "score"]

REGISTERED = "registered"
"""In `trust`: whatever is, byte for byte, what the registry has the hash of."""
_SERVER_ERROR = 500


def _silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model that was brought here."""

    name: str
    """As listings show it: `digits:3`."""
    hashes: frozenset[str] = frozenset()
    """SHA-256 of its files as the registry has them."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller may ask for beyond the file."""

    stack: str | StackOutputs | None = None
    """Whose registry has the model."""
    fetch: Fetch | None = None
    """Brings `NAME`, `NAME:VERSION` or `NAME@latest` into a folder; absent: from the stack's registry."""
    trust: tuple[str, ...] = ()
    """SHA-256 (12 digits or more) of model files that may be loaded although they can hold code; or `registered`."""
    allow_secrets: tuple[str, ...] = ()
    """Files of the code folder that may go although they look like secrets."""
    exact: bool = False
    """Refuse an environment that is not exactly the one asked for."""
    say: Callable[[str], None] = _silent
    """Is told one line a fact, as things happen."""


def deploy(file: Path, project: Project, wishes: Wishes = Wishes(), *, shown: str | None = None) -> Service:
    """Deploy a file's model to its endpoint on this machine; blocks until it answers.

    Repeatable: the deployment that answered before goes on until the new one does.
    Raises: SpecError, RefusedError (with the log's end), NotFoundError for a model that isn't there.
    """
    spec, document = load_deployment(file, shown)
    code = _code(spec, file.parent, document, wishes)
    environment = local.with_server(environments.resolve(spec.environment, file.parent, document))
    for note in (*environment.notes, *code.warnings, *_azures_own(spec)):
        wishes.say(note)
    if wishes.exact and environment.fidelity != "exact":
        message = f"this machine can't make exactly this environment, only a {environment.fidelity} one."
        raise SpecError([document.problem(("environment",), message, rule="environment-exact")])
    home = services.folder(project, spec.endpoint_name)
    with services.locked(home):
        run_dir = services.next_run(home)
        try:
            fetch = wishes.fetch or (registry(project, wishes.stack) if wishes.stack else None)
            model, model_dir = _model(spec, file.parent, document, run_dir, fetch)
            known = model.hashes if REGISTERED in wishes.trust else frozenset()
            model_files.check(model_dir, {*wishes.trust, *known})
        except BaseException:
            shutil.rmtree(run_dir, ignore_errors=True)
            raise
        wishes.say(f"model {model.name}")
        return local.start(home, run_dir, Deployment(spec, code, environment, model.name, model_dir), wishes.say)


def registry(project: Project, stack: str | StackOutputs) -> Fetch:
    """Return what fetches models from a stack's registry, laid out as Azure mounts them: below their folder's name."""

    def fetch(reference: str, destination: Path) -> Fetched:
        from runtime import models

        model = models.find_model(project, reference, stack)
        base = model.uri.rstrip("/").rpartition("/")[2]
        inside = destination / base
        if models.download(project, model, inside) == [inside / base]:  # the model is one file, not a folder
            content = (inside / base).rename(destination / f".{base}")
            inside.rmdir()
            content.rename(inside)
        return Fetched(f"{model.name}:{model.version}", frozenset(model.sha256.values()))

    return fetch


def _azures_own(spec: OnlineDeployment) -> list[str]:
    """Say which fields mean something in Azure only."""
    given = [name for name in ("instance_type", "instance_count", "scale_settings") if getattr(spec, name)]
    return [f"{', '.join(given)}: for Azure; here one server runs"] if given else []


def _code(spec: OnlineDeployment, base: Path, document: Document, wishes: Wishes) -> Snapshot:
    configuration, at = spec.code_configuration, ("code_configuration",)
    folder = base / configuration.code
    if not folder.is_dir():
        raise SpecError(
            [document.problem((*at, "code"), "no such folder.", given=f'"{configuration.code}"', rule="code")]
        )
    planned = snapshot.plan(folder, allow_secrets=wishes.allow_secrets or None)
    scripts = [item.path for item in planned.files if item.path.endswith(".py")]
    if configuration.scoring_script not in scripts:
        message = f"no such Python file in {configuration.code}. There: {', '.join(scripts[:10]) or 'none'}."
        given = f'"{configuration.scoring_script}"'
        raise SpecError([document.problem((*at, "scoring_script"), message, given=given, rule="scoring-script")])
    return planned


def _model(
    spec: OnlineDeployment, base: Path, document: Document, run_dir: Path, fetch: Fetch | None
) -> tuple[Fetched, Path]:
    """Bring the model below the run folder, as Azure lays it out: azureml-models/NAME/VERSION."""
    if isinstance(spec.model, str):
        reference = spec.model.removeprefix("azureml:")
        if reference == spec.model or "/" in reference:
            message = (
                "not a model. Allowed: azureml:NAME, azureml:NAME:VERSION, azureml:NAME@latest, or a mapping with path."
            )
            raise SpecError([document.problem(("model",), message, given=f'"{spec.model}"', rule="model")])
        return _registered(reference, document, run_dir, fetch)
    if spec.model.path is None:
        if spec.model.name is None:
            raise SpecError([document.problem(("model",), "has neither a path nor a name.", rule="model")])
        version = f":{spec.model.version}" if spec.model.version else "@latest"
        return _registered(spec.model.name + version, document, run_dir, fetch)
    source = base / spec.model.path
    if not source.exists():
        given = f'"{spec.model.path}"'
        raise SpecError([document.problem(("model", "path"), "no such file or folder.", given=given, rule="model")])
    name, version = spec.model.name or spec.endpoint_name, spec.model.version or "1"
    model_dir = run_dir / local.MODELS / name / version
    model_dir.mkdir(mode=0o700, parents=True)
    inside = model_dir / source.resolve().name
    if source.is_dir():
        shutil.copytree(source, inside, symlinks=True)
    else:
        shutil.copyfile(source, inside)
    return Fetched(f"{name}:{version}" if spec.model.name else spec.model.path), model_dir


def _registered(reference: str, document: Document, run_dir: Path, fetch: Fetch | None) -> tuple[Fetched, Path]:
    if fetch is None:
        message = "registered models live in a workspace, and no stack is up here. First: invoke up, or give a path."
        raise SpecError([document.problem(("model",), message, given=f'"azureml:{reference}"', rule="model")])
    incoming = run_dir / local.MODELS / ".incoming"
    incoming.mkdir(mode=0o700, parents=True)
    brought = fetch(reference, incoming)
    found = Fetched(brought) if isinstance(brought, str) else brought
    name, _, version = found.name.partition(":")
    model_dir = incoming.parent / name / (version or "1")
    model_dir.parent.mkdir(mode=0o700)
    incoming.rename(model_dir)
    return found, model_dir


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said."""

    value: wire.Json
    """The JSON; text where it was none."""
    elapsed_s: float


def score(service: Service, payload: wire.Json | bytes, timeout_s: float = 60.0) -> Answer:
    """Send a request and return the answer. JSON is sent as such, bytes as they are.

    Raises: RefusedError with the service's words (and its log's end when its script failed), ConnectionLostError.
    """
    if service.state != "Running":
        raise ConnectionLostError(_gone(service, f"is {service.state}: {service.reason or 'not ready yet'}"))
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    connection = http.client.HTTPConnection(services.LOOPBACK, service.port, timeout=timeout_s)
    began = time.perf_counter()
    try:
        connection.request("POST", "/score", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
    except TimeoutError:
        raise ConnectionLostError(f"{service.endpoint} did not answer within {timeout_s:g} s ({service.url})") from None
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionLostError(_gone(service, f"does not answer: {error}")) from None
    finally:
        connection.close()
    elapsed = time.perf_counter() - began
    value = _parsed(raw)
    if response.status != http.client.OK:
        said = wire.text(wire.at(value, "message")) or (
            value if isinstance(value, str) else raw.decode("utf-8", "replace")
        )
        log = f"\n{_indented(service.log_tail())}" if response.status >= _SERVER_ERROR else ""
        raise RefusedError(f"{service.endpoint} said no: {said}{log}", status=response.status)
    return Answer(value, elapsed)


def _parsed(raw: bytes) -> wire.Json:
    try:
        return wire.parse(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _gone(service: Service, what: str) -> str:
    return f"{service.endpoint} {what}\n{_indented(service.log_tail())}\n  Deploy it again: invoke deploy FILE"


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines())
