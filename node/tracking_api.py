"""The routes of the MLflow tracking API that a job's client calls, each turned into a call of the store.

Paths are those of MLflow's REST API 2.0 as mlflow-skinny 3.15 sends them. An unknown one is a 404 that names it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from node import layout
from node.tracking_store import ApiError, Store, bad, metric_of, missing, pair, pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.layout import Json
    from node.masking import Mask

    Fields = dict[str, Json]
    Answer = Callable[[Fields], Fields]

_PREFIX = re.compile(r"/(?:ajax-)?api/2\.0/mlflow/(.*)\Z")
_VERSION = "3.15.0"
"""What /version says: the API level that these routes were tried against."""
_NO_TEXT = frozenset({"run_id", "run_uuid", "experiment_id", "timestamp", "step", "start_time", "end_time"})
"""Fields of requests that hold ids and numbers, some of them written as text."""
_MODEL = re.compile(r"logged-models/([\w\-]+)(?:/(params|tags))?(?:/(.+))?\Z")


class Api:
    """Routes of one job's tracking server."""

    def __init__(self, store: Store, mask: Mask) -> None:
        self.store, self.mask = store, mask
        self.models: dict[str, Fields] = {}
        self.routes: dict[tuple[str, str], Answer] = {
            ("GET", "experiments/get-by-name"): self._experiment_by_name,
            ("GET", "experiments/get"): self._experiment,
            ("POST", "experiments/create"): self._create_experiment,
            ("POST", "experiments/search"): self._experiments,
            ("GET", "experiments/search"): self._experiments,
            ("GET", "experiments/list"): self._experiments,
            ("POST", "experiments/set-experiment-tag"): lambda _fields: {},
            ("POST", "runs/create"): self._create_run,
            ("GET", "runs/get"): self._get_run,
            ("POST", "runs/update"): self._update_run,
            ("POST", "runs/search"): self._search_runs,
            ("POST", "runs/log-metric"): self._log_metric,
            ("POST", "runs/log-parameter"): self._log_parameter,
            ("POST", "runs/log-batch"): self._log_batch,
            ("POST", "runs/set-tag"): self._set_tag,
            ("POST", "runs/delete-tag"): self._delete_tag,
            ("POST", "runs/log-model"): self._log_model,
            ("POST", "runs/outputs"): self._log_outputs,
            ("POST", "runs/log-inputs"): self._log_inputs,
            ("GET", "metrics/get-history"): self._history,
            ("GET", "artifacts/list"): self._artifacts,
            ("POST", "logged-models"): self._create_model,
            ("POST", "logged-models/search"): self._search_models,
        }

    def handle(self, method: str, target: str, body: bytes) -> tuple[int, Json]:
        """Return the status and the JSON (or text) for a request; never raises."""
        try:
            url = urlsplit(target)
            if url.path in ("/version", "/health"):
                return 200, _VERSION if url.path == "/version" else "OK"
            given = {**dict(parse_qsl(url.query, keep_blank_values=True)), **_fields(body)}
            fields = _object(self.mask.tree(given, _NO_TEXT))
            with self.store.lock:
                return 200, self.route(method, url.path)(fields)
        except ApiError as error:
            return error.status, {"error_code": error.code, "message": str(error)}
        except Exception as error:  # noqa: BLE001  (a client's garbage must not end the supervisor)
            layout.note(f"tracking: {method} {type(error).__name__}")
            # 400, not 500, which the client would repeat for minutes.
            return 400, {"error_code": "INTERNAL_ERROR", "message": f"{type(error).__name__}: {error}"}

    def route(self, method: str, path: str) -> Answer:
        """Return the handler for a path. Raises: ApiError."""
        found = _PREFIX.match(path)
        name = found.group(1).rstrip("/") if found else ""
        handler = self.routes.get((method, name))
        if handler is not None:
            return handler
        model = _MODEL.match(name)
        if model is not None:
            return lambda fields: self.model(method, model.group(1), model.group(2), model.group(3), fields)
        raise ApiError(404, "ENDPOINT_NOT_FOUND", f"{method} {path} is not served by a job's tracking server")

    # --- experiments ---

    def _describe(self, key: str) -> Fields:
        return {
            "experiment_id": key,
            "name": self.store.experiments[key],
            "artifact_location": str(self.store.outputs),
            "lifecycle_stage": "active",
        }

    def _experiment_by_name(self, fields: Fields) -> Fields:
        for key, name in self.store.experiments.items():
            if name == fields.get("experiment_name"):
                return {"experiment": self._describe(key)}
        raise missing(f"Could not find experiment with name '{fields.get('experiment_name')}'")

    def _experiment(self, fields: Fields) -> Fields:
        key = str(fields.get("experiment_id"))
        if key not in self.store.experiments:
            raise missing(f"No Experiment with id={key} exists")
        return {"experiment": self._describe(key)}

    def _create_experiment(self, fields: Fields) -> Fields:
        name = _text(fields, "name")
        if name in self.store.experiments.values():
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"Experiment '{name}' already exists.")
        key = str(len(self.store.experiments) + 1)
        self.store.experiments[key] = name
        return {"experiment_id": key}

    def _experiments(self, _fields: Fields) -> Fields:
        return {"experiments": [self._describe(key) for key in self.store.experiments]}

    # --- runs ---

    def _create_run(self, fields: Fields) -> Fields:
        return {"run": self.store.describe(self.store.create(fields))}

    def _run_id(self, fields: Fields) -> str:
        return _text(fields, "run_id" if fields.get("run_id") else "run_uuid")

    def _get_run(self, fields: Fields) -> Fields:
        return {"run": self.store.describe(self.store.run(self._run_id(fields)))}

    def _update_run(self, fields: Fields) -> Fields:
        run = self.store.run(self._run_id(fields))
        for key in ("status", "end_time"):
            if fields.get(key):
                run.info[key] = fields[key]
        if fields.get("run_name"):
            self.store.set_tags(run, {"mlflow.runName": str(fields["run_name"])})
        return {"run_info": dict(run.info)}

    def _search_runs(self, fields: Fields) -> Fields:
        return {"runs": self.store.search(str(fields.get("filter") or ""))}

    # --- what is logged ---

    def _log_metric(self, fields: Fields) -> Fields:
        self.store.log(self.store.run(self._run_id(fields)), [metric_of(fields)], {}, {})
        return {}

    def _log_parameter(self, fields: Fields) -> Fields:
        self.store.log(self.store.run(self._run_id(fields)), [], dict([pair(fields)]), {})
        return {}

    def _log_batch(self, fields: Fields) -> Fields:
        run = self.store.run(self._run_id(fields))
        logged = fields.get("metrics") or []
        if not isinstance(logged, list):
            raise bad("metrics must be a list")
        metrics = [metric_of(entry) for entry in logged]
        self.store.log(run, metrics, pairs(fields.get("params")), pairs(fields.get("tags")))
        return {}

    def _set_tag(self, fields: Fields) -> Fields:
        self.store.set_tags(self.store.run(self._run_id(fields)), dict([pair(fields)]))
        return {}

    def _delete_tag(self, fields: Fields) -> Fields:
        self.store.delete_tag(self.store.run(self._run_id(fields)), _text(fields, "key"))
        return {}

    def _log_inputs(self, fields: Fields) -> Fields:
        self.store.run(self._run_id(fields))
        return {}

    def _history(self, fields: Fields) -> Fields:
        return {"metrics": self.store.history(self.store.run(self._run_id(fields)), _text(fields, "metric_key"))}

    def _artifacts(self, fields: Fields) -> Fields:
        run = self.store.run(self._run_id(fields))
        root = os.path.realpath(run.artifacts)
        folder = os.path.realpath(os.path.join(root, str(fields.get("path") or "")))  # noqa: PTH118
        if folder != root and not folder.startswith(root + os.sep):
            raise bad("Invalid path")
        files: list[Json] = []
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name) if os.path.isdir(folder) else []:  # noqa: PTH112
            is_dir = entry.is_dir()
            size: Fields = {} if is_dir else {"file_size": entry.stat().st_size}
            files.append({"path": os.path.relpath(entry.path, root), "is_dir": is_dir, **size})
        return {"root_uri": root, "files": files}

    # --- models ---

    def _log_model(self, fields: Fields) -> Fields:
        run = self.store.run(self._run_id(fields))
        before: Json = json.loads(run.tags.get("mlflow.log-model.history", "[]"))
        added: Json = json.loads(_text(fields, "model_json"))
        history: list[Json] = [*(before if isinstance(before, list) else []), added]
        self.store.set_tags(run, {"mlflow.log-model.history": json.dumps(history)})
        return {}

    def _log_outputs(self, fields: Fields) -> Fields:
        run, models = self.store.run(self._run_id(fields)), fields.get("models")
        run.models.extend(models if isinstance(models, list) else [])
        return {}

    def _create_model(self, fields: Fields) -> Fields:
        key = "m-" + secrets.token_hex(16)
        name = str(fields.get("name") or key)
        if not re.fullmatch(r"[\w\-. ]+", name) or name in (".", ".."):
            raise bad(f"Invalid model name {name!r}")
        folder = self.store.outputs / name
        if folder.exists():
            folder = self.store.outputs / f"{name}-{key[2:10]}"
        layout.private_dir(folder)
        now = int(time.time() * 1000)
        self.models[key] = {
            "info": {
                "model_id": key,
                "experiment_id": fields.get("experiment_id") or "1",
                "name": name,
                "creation_timestamp_ms": now,
                "last_updated_timestamp_ms": now,
                "artifact_uri": str(folder),
                "status": "LOGGED_MODEL_PENDING",
                "model_type": fields.get("model_type") or "",
                "source_run_id": fields.get("source_run_id") or "",
                "tags": fields.get("tags") or [],
            },
            "data": {"params": fields.get("params") or []},
        }
        return {"model": self.models[key]}

    def _search_models(self, _fields: Fields) -> Fields:
        return {"models": list(self.models.values())}

    def model(self, method: str, key: str, part: str | None, name: str | None, fields: Fields) -> Fields:
        """Serve logged-models/{id}, …/params, …/tags and …/tags/{key}."""
        found = self.models.get(key)
        if found is None:
            raise missing(f"Logged model with id={key} not found")
        info, data = _object(found["info"]), _object(found["data"])
        if part is None and method == "PATCH":
            info["status"] = fields.get("status") or info["status"]
        elif part is None and method == "DELETE":
            del self.models[key]
            return {}
        elif part == "params":
            data["params"] = [*_list(data["params"]), *_list(fields.get("params"))]
        elif part == "tags" and method == "DELETE":
            info["tags"] = [tag for tag in _list(info["tags"]) if _object(tag).get("key") != name]
        elif part == "tags":
            given = {**pairs(info["tags"]), **pairs(fields.get("tags"))}
            info["tags"] = [{"key": name, "value": value} for name, value in given.items()]
        return {"model": found}


def _fields(body: bytes) -> Fields:
    if not body.strip():
        return {}
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad(f"the body is not JSON: {error}") from error
    return _object(value)


def _object(value: Json) -> Fields:
    if not isinstance(value, dict):
        raise bad("an object is expected")
    return value


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise bad(f"Missing value for required parameter '{key}'")
    return value
