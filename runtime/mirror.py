"""The mirror of a machine's runs in their workspace's MLflow history, so that they are found from anywhere.

The run's folder on the machine is the truth; what is written here are its tags (where it is, and under which host key),
its state, parameters and metrics. Writing may be repeated, and may fail without harm: the next look makes it good.
Finding one trusts no address for a password: `runtime.hosts.account` compares it with the workspace's own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from node import layout
from runtime import clock, outputs, wire
from runtime import history as histories
from runtime.errors import RefusedError, StoreError, TrainyardError
from runtime.events import Event
from runtime.records import Machine, Record
from runtime.transport import Request
from specs.base import EMULATOR_SUBSCRIPTION_ID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runtime.events import OnEvent
    from runtime.records import State
    from runtime.site import Look, Point, Site
    from runtime.wire import Json, Object

KEPT = "mirror.json"
"""In the run's folder of the store: the history's own id of the run, and what it was told last."""
RUN, TOKEN, KIND, MACHINE = "trainyard.run", "trainyard.token", "trainyard.kind", "trainyard.machine"
TOLD, STATE, REASON = "trainyard.points", "trainyard.state", "trainyard.reason"
"""How many of the logged values were passed on; ours, where MLflow's words are too few."""
STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}
BACK: dict[str, State] = {"FINISHED": "Completed", "FAILED": "Failed", "KILLED": "Canceled"}
MOST_METRICS, MOST_PARAMS = 1000, 100
"""Of one log-batch (MLflow REST API 2.0)."""
EVERY_S = 30.0
"""How often the metrics of a run that goes on are passed on."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
MISSING = frozenset({"RESOURCE_DOES_NOT_EXIST"})


def begin(site: Site, record: Record, say: OnEvent) -> None:
    """Make the run in the history, once; a history that can't be reached is said, and tried again at the next look."""
    try:
        _ensure(site, record)
    except TrainyardError as error:
        why = str(error).splitlines()[0]
        say(
            Event(
                "note", f"the workspace's history can't be written ({why}): until it can, only this clone finds the run"
            )
        )


def update(site: Site, record: Record, found: Look, said: Object | None) -> None:
    """Pass on what the machine said (None: it never had the run), when something is new.

    Never raises: a run is not its mirror.
    """
    told = _told(site, record)
    ended = found.state in STATUS
    if told.get("ended") is True or (said is None and not told.get("run")):
        return
    now = site.clock.monotonic()
    due = now - _AT.get(record.token, -EVERY_S) >= EVERY_S
    new = told.get("run") and told.get("state") != found.state
    if not (new or ended or due):
        return
    _AT[record.token] = now
    try:
        run_id = _ensure(site, record)
        if said is not None:
            _values(site, record, run_id, said)
        state: Object = {STATE: found.state, **({REASON: found.reason} if found.reason else {})}
        _post(site, record, "runs/log-batch", {"run_id": run_id, "tags": _pairs(state)})
        body: Object = {"run_id": run_id, "status": STATUS.get(found.state, "RUNNING")}
        if ended:
            body["end_time"] = _ms(found.ended or clock.stamp(site.clock.now()))
        _post(site, record, "runs/update", body)
        _keep(site, record, {**_told(site, record), "state": found.state, "ended": ended})
    except TrainyardError:
        return


_AT: dict[str, float] = {}
"""When a run's values were passed on last, by its token: of this process."""


def _values(site: Site, record: Record, run_id: str, said: Object) -> None:
    """Pass on the parameters, and the metrics that the history does not have yet."""
    from runtime.submitters import virtual_machine

    data = wire.obj(wire.at(_get(site, record, "runs/get", {"run_id": run_id}), "run", "data"))
    have = _unpaired(data.get("params"))
    given = {**record.parameters, **{key: wire.text(value) for key, value in wire.obj(said.get("params")).items()}}
    new = [(key, value) for key, value in given.items() if key not in have]
    for start in range(0, len(new), MOST_PARAMS):
        params: list[Json] = [{"key": key, "value": value} for key, value in new[start : start + MOST_PARAMS]]
        _post(site, record, "runs/log-batch", {"run_id": run_id, "params": params})
    count = int(_unpaired(data.get("tags")).get(TOLD) or 0)
    logged = list(virtual_machine.points(site, record, None, count))
    for start in range(0, len(logged), MOST_METRICS):
        batch = logged[start : start + MOST_METRICS]
        count += len(batch)
        tags = _pairs({TOLD: str(count)})
        _post(site, record, "runs/log-batch", {"run_id": run_id, "metrics": _metrics(batch), "tags": tags})


def _metrics(batch: Iterable[tuple[str, Point]]) -> list[Json]:
    return [
        {"key": key, "value": _number(point.value), "timestamp": point.timestamp, "step": point.step}
        for key, point in batch
    ]


def _number(value: float) -> Json:
    """Write what JSON has no word for as MLflow's clients do."""
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return words.get(str(value), value)


def _ensure(site: Site, record: Record) -> str:
    """Return the history's id of the run; made where there is none of this token."""
    known = wire.text(_told(site, record).get("run"))
    if known:
        return known
    experiment = _experiment(site, record)
    tried = _told(site, record).get("tried") is True
    run_id = _search(site, record, [experiment], {TOKEN: record.token}) if tried or record.phase != "intent" else ""
    if not run_id:
        _keep(site, record, {"tried": True})
        tags: Object = {**described(record), **record.git}
        body: Object = {
            "experiment_id": experiment,
            "run_name": record.display_name or record.id,
            "start_time": _ms(record.created),
            "tags": _pairs(tags),
        }
        made = wire.at(_post(site, record, "runs/create", body), "run", "info", "run_id")
        run_id = wire.text(made)
    _keep(site, record, {"run": run_id, "tried": True})
    return run_id


def described(record: Record) -> Object:
    """Return the tags that lead back to a run. Pure; no secret is among them."""
    machine = record.machine
    found: Object = {
        RUN: record.id,
        TOKEN: record.token,
        KIND: record.kind,
        MACHINE: machine.model_dump_json() if machine else "",
        "trainyard.target": record.target,
        "trainyard.snapshot": record.snapshot or "",
        "trainyard.created": record.created,
    }
    return {key: value for key, value in found.items() if value}


def find(site: Site, workspace_id: str, run_id: str) -> Record | None:
    """Return the record of a machine's run that the workspace's history knows; None when it has none.

    A machine of a stack that is known here is known by the host key that the stack pins, whatever the history says.
    """
    if not _ID.match(run_id):
        return None
    asked = _asking(site, workspace_id, run_id)
    listed = _post(site, asked, "experiments/search", {"max_results": 1000})
    names = {
        wire.text(wire.obj(item).get("experiment_id")): wire.text(wire.obj(item).get("name"))
        for item in wire.items(listed.get("experiments"))
    }
    found = _search(site, asked, list(names), {RUN: run_id, KIND: "VirtualMachine"}) if names else ""
    if not found:
        return None
    document = wire.obj(_get(site, asked, "runs/get", {"run_id": found}).get("run"))
    record = _recorded(asked, document, names)
    if record is not None:
        site.store.insert(record)
        _keep(site, record, {"run": found, "tried": True})
        record = site.store.get(record.id)
    return record and _pinned(site, record)


def _recorded(asked: Record, document: Object, names: dict[str, str]) -> Record | None:
    info, data = wire.obj(document.get("info")), wire.obj(document.get("data"))
    tags = _unpaired(data.get("tags"))
    try:
        machine = Machine.model_validate_json(tags.get(MACHINE, ""))
    except ValueError:
        return None
    state = tags.get(STATE) or BACK.get(wire.text(info.get("status")), "NotStarted")
    return asked.model_copy(
        update={
            "target": tags.get("trainyard.target") or machine.compute_id.rpartition("/")[2],
            "experiment": names.get(wire.text(info.get("experiment_id"))) or "Default",
            "token": tags.get(TOKEN, ""),
            "created": tags.get("trainyard.created") or asked.created,
            # Its end is for the machine to tell; the mirror may lag.
            "state": "NotStarted" if state in STATUS else histories.to_state(state),
            "machine": machine,
            "snapshot": tags.get("trainyard.snapshot"),
            "display_name": wire.text(info.get("run_name")) or None,
            "git": {key: value for key, value in tags.items() if key.startswith(("mlflow.source.git", "azureml.git"))},
        }
    )


def _pinned(site: Site, record: Record) -> Record:
    """Prefer the host key that a stack of this project pins."""
    machine = record.machine
    if machine is None:
        return record
    for stack in outputs.stacks(site.project):
        for target in outputs.load(site.project, stack).targets.values():
            if target.kind == "VirtualMachine" and target.id.lower() == machine.compute_id.lower() and target.host_key:
                changed = machine.model_copy(update={"host_key": target.host_key})
                return site.store.update(record.id, machine=changed, stack=stack) or record
    return record


def _asking(site: Site, workspace_id: str, run_id: str) -> Record:
    subscription = workspace_id.split("/")[2] if workspace_id.count("/") > 1 else ""
    return Record(
        id=run_id,
        kind="VirtualMachine",
        target="",
        experiment="",
        token="",  # replaced by the run's
        created=clock.stamp(site.clock.now()),
        cloud="emulator" if subscription == EMULATOR_SUBSCRIPTION_ID else "azure",
        workspace_id=workspace_id,
        phase="acknowledged",
    )


def _experiment(site: Site, record: Record) -> str:
    """Return the id of the run's experiment, made where it is missing; another client may make it meanwhile."""
    for _ in range(2):
        try:
            found = _get(site, record, "experiments/get-by-name", {"experiment_name": record.experiment})
        except RefusedError as refused:
            if refused.status != histories.NOT_FOUND:
                raise
            found = {}
        id_ = wire.text(wire.at(found, "experiment", "experiment_id"))
        if id_:
            return id_
        try:
            made = _post(site, record, "experiments/create", {"name": record.experiment})
            return wire.text(made.get("experiment_id"))
        except RefusedError as refused:
            if refused.status != histories.ERROR:
                raise
    raise RefusedError(f"the experiment {record.experiment} can neither be found nor made in the history")


def _search(site: Site, record: Record, experiments: list[str], tags: dict[str, str]) -> str:
    """Return the oldest run with these tags; nothing when there is none."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    body: Object = {
        "experiment_ids": [*experiments],
        "filter": wanted,
        "max_results": 1,
        "order_by": ["attributes.start_time ASC"],
    }
    runs = wire.items(_post(site, record, "runs/search", body).get("runs"))
    return wire.text(wire.at(runs[0], "info", "run_id")) if runs else ""


def _get(site: Site, record: Record, call: str, query: dict[str, str]) -> Object:
    return _call(site, record, Request("GET", f"{_url(site, record, call)}?{urlencode(query)}"))


def _post(site: Site, record: Record, call: str, body: Object) -> Object:
    return _call(site, record, Request("POST", _url(site, record, call), {}, wire.dump(body)))


def _url(site: Site, record: Record, call: str) -> str:
    return f"{histories.base(site, record)}mlflow/v2.0{record.workspace_id}/api/2.0/mlflow/{call}"


def _call(site: Site, record: Record, request: Request) -> Object:
    answer = site.plane(record).exchange(request)
    try:
        found = wire.obj(wire.parse(answer.body)) if answer.body else {}
    except ValueError:
        found = {}
    if answer.status >= histories.ERROR:
        words = wire.text(found.get("message")) or f"HTTP {answer.status}"
        raise RefusedError(words, code=wire.text(found.get("error_code")), status=answer.status)
    return found


def _pairs(values: Object) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _unpaired(value: Json) -> dict[str, str]:
    return {wire.text(wire.obj(item).get("key")): wire.text(wire.obj(item).get("value")) for item in wire.items(value)}


def _ms(moment: str) -> int:
    return int(clock.parse(moment).timestamp() * 1000)


def _path(site: Site, record: Record) -> Path:
    return site.store.run_folder(record.id) / KEPT


def _told(site: Site, record: Record) -> Object:
    try:
        return cast("Object", json.loads(_path(site, record).read_bytes()))
    except (OSError, ValueError):
        return {}  # made again from the history, by token


def _keep(site: Site, record: Record, value: Object) -> None:
    try:
        layout.write_json(_path(site, record), value)
    except OSError as error:
        raise StoreError(f"{_path(site, record)} can't be written: {error.strerror}") from None
