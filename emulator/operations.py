"""Asynchronous operations of ARM: accepted now, finished later, polled by URL (`Azure-AsyncOperation`, `Location`).

Under `immediate` an operation is finished before its first poll, under `time` after `DELAY_S`, under `manual` when a
test calls `advance`. The record is durable: what a killed process had accepted, `resume` finishes at the next start.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from emulator import ml
from emulator.constants import SUBSCRIPTION_ID
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.cloud import Cloud
    from emulator.routing import Call, Json

DELAY_S = 2.0
KEPT = timedelta(days=1)
"""How long a finished operation answers polls. Azure keeps them at least a day."""
_FINISH: dict[str, Callable[[], None]] = {}
"""What is left to do for each operation under way, by its key; the processes' own, rebuilt by `resume`."""


def routes() -> list[Route]:
    """Return the rows of the table."""
    status = "/subscriptions/{sub}/providers/{provider}/locations/{location}/operationStatuses/{operation}"
    result = "/subscriptions/{sub}/providers/{provider}/locations/{location}/operationResults/{operation}"
    return [
        Route("GET", status, _status),
        Route("GET", result, _result),
        Route("GET", "/subscriptions/{sub}/operationresults/{operation}", _result),
    ]


def begin(call: Call, resource_id: str, verb: str, finish: Callable[[], None]) -> dict[str, str]:
    """Record an operation and return the headers of its acceptance.

    `finish` makes the change; a `Refusal` from it is the operation's failure. Call it outside any transaction.
    """
    cloud = call.cloud
    name = str(uuid.uuid4())
    place = f"/subscriptions/{SUBSCRIPTION_ID}/providers/{_provider(resource_id)}/locations/{_location(call)}"
    key = _key(name)
    record: dict[str, Json] = {
        "id": f"{place}/operationStatuses/{name}",
        "name": name,
        "status": "InProgress",
        "startTime": ml.stamp(cloud.now()),
        "resource": resource_id,
        "verb": verb,
        "due": cloud.now().timestamp() + (DELAY_S if cloud.transitions == "time" else 0),
    }
    cloud.state.put(key, record, "operation")
    _FINISH[key] = finish
    if cloud.transitions == "immediate":
        _finish(cloud, key)
    return headers(call, f"{place}/operationStatuses/{name}", f"{place}/operationResults/{name}")


def headers(call: Call, status: str, result: str) -> dict[str, str]:
    """Return the headers of an acceptance: absolute URLs with the caller's api-version."""
    query = urlencode({"api-version": call.query.get("api-version", "2020-06-01")})
    return {
        "Azure-AsyncOperation": f"{call.origin}{status}?{query}",
        "Location": f"{call.origin}{result}?{query}",
        "Retry-After": "0" if call.cloud.transitions == "immediate" else "1",
    }


def advance(cloud: Cloud) -> int:
    """Finish every operation under way; returns how many (for tests under `manual`)."""
    keys = [key for key, record in _under_way(cloud)]
    for key in keys:
        _finish(cloud, key)
    return len(keys)


def settle(cloud: Cloud) -> None:
    """Finish what is due under `time`; cheap when nothing is under way."""
    if cloud.transitions == "time" and _FINISH:
        now = cloud.now().timestamp()
        for key, record in _under_way(cloud):
            due = record["due"]
            if isinstance(due, int | float) and due <= now:
                _finish(cloud, key)


def resume(cloud: Cloud, work: Callable[[Cloud, str, str], None]) -> int:
    """Finish what a dead process had accepted (`work(cloud, resource id, verb)`) and forget old records.

    Returns how many operations were finished.
    """
    finished = 0
    for key, record in cloud.state.all("operation"):
        if record["status"] == "InProgress":
            _FINISH[key] = partial(work, cloud, ml.text(record["resource"]), ml.text(record["verb"]))
            _finish(cloud, key)
            finished += 1
        elif cloud.now() - ml.moment(ml.text(record.get("endTime"))) > KEPT:
            cloud.state.delete(key)
    return finished


def _under_way(cloud: Cloud) -> list[tuple[str, dict[str, Json]]]:
    return [(key, record) for key, record in cloud.state.all("operation") if record["status"] == "InProgress"]


def _finish(cloud: Cloud, key: str) -> None:
    work = _FINISH.pop(key, None)
    error: dict[str, Json] | None = None
    try:
        if work is not None:
            work()
    except Refusal as refusal:
        error = {"code": refusal.code, "message": refusal.message}
    record = cloud.state.get(key) or {}
    record |= {"status": "Failed" if error else "Succeeded", "endTime": ml.stamp(cloud.now())}
    if error:
        record["error"] = error
    cloud.state.put(key, record, "operation")


def _status(call: Call) -> Answer:
    """Play `GET …/operationStatuses/{id}`: 200 with the status, whatever it is."""
    record = _find(call)
    shown: dict[str, Json] = {
        key: record[key] for key in ("id", "name", "status", "startTime", "endTime", "error") if key in record
    }
    return Answer(200, shown, _again(call, record))


def _result(call: Call) -> Answer:
    """Play `GET …/operationResults/{id}`: 202 while under way, then the resource, or 204 when it is gone."""
    record = _find(call)
    if record["status"] == "InProgress":
        return Answer(
            202, None, {"Location": f"{call.origin}{call.path}?{urlencode(call.query)}", **_again(call, record)}
        )
    if record["status"] == "Failed":
        error = ml.obj(record["error"])
        raise Refusal(409, ml.text(error["code"]), ml.text(error["message"]))
    document = call.cloud.state.get(ml.text(record["resource"]))
    return Answer(204) if document is None else Answer(200, document)


def _again(call: Call, record: dict[str, Json]) -> dict[str, str]:
    return {"Retry-After": "0" if call.cloud.transitions == "immediate" else "1"} if "endTime" not in record else {}


def _find(call: Call) -> dict[str, Json]:
    record = call.cloud.state.get(_key(call.args["operation"]))
    if record is None:
        raise Refusal(404, "NotFound", f"The operation '{call.args['operation']}' was not found.")
    return record


def _key(name: str) -> str:
    return f"/operations/{name}"


def _provider(resource_id: str) -> str:
    parts = resource_id.split("/providers/")
    return parts[-1].split("/")[0] if len(parts) > 1 else "Microsoft.Resources"


def _location(call: Call) -> str:
    document = call.cloud.state.get("/".join(call.path.split("/")[:5])) or {}
    return ml.text(document.get("location")).replace(" ", "").lower() or "global"
