"""Runs that another clone, or another tool, submitted: found in a workspace by name, with all of their attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import attempts, wire
from runtime import history as histories
from runtime.clock import stamp
from runtime.errors import NotFoundError
from runtime.job_body import TOKEN
from runtime.records import Attempt, Record, attempt_name
from specs.base import EMULATOR_SUBSCRIPTION_ID

if TYPE_CHECKING:
    from runtime.site import Site
    from runtime.wire import Object


def adopt(site: Site, workspace_id: str, run_id: str) -> Record | None:
    """Make a record of a workspace's job; None when there is none. The name of an attempt leads to its run."""
    asked = _asking(site, workspace_id, run_id)
    document = histories.job(site, asked)
    owner = wire.text(wire.at(document, "properties", "properties", attempts.RUN))
    if owner and owner != run_id:
        asked = asked.model_copy(update={"id": owner})
        document = histories.job(site, asked)
    if document is None:
        from runtime import mirror

        return mirror.find(site, workspace_id, run_id)  # on a machine that the workspace doesn't drive
    record = _last_attempt(site, _described(asked, document))
    site.store.insert(record)
    return site.store.get(record.id) or record


def _asking(site: Site, workspace_id: str, run_id: str) -> Record:
    """Return a record that knows just enough to be asked about."""
    parts = workspace_id.split("/")
    if len(parts) < 9 or parts[1].lower() != "subscriptions":  # noqa: PLR2004 - /subscriptions/S/resourceGroups/R/providers/P/workspaces/W
        raise NotFoundError(f"{workspace_id} is not a workspace's ARM id (/subscriptions/…/workspaces/NAME)")
    return Record(
        id=run_id,
        kind="AmlCompute",
        target="",
        experiment="",
        token="",  # replaced by the job's
        created=stamp(site.clock.now()),
        cloud="emulator" if parts[2] == EMULATOR_SUBSCRIPTION_ID else "azure",
        workspace_id=workspace_id,
        phase="acknowledged",
    )


def _described(asked: Record, document: Object) -> Record:
    """Take over what the job's document says. Pure."""
    properties = wire.obj(document.get("properties"))
    own = wire.obj(properties.get("properties"))
    token = wire.text(own.get(TOKEN))
    return asked.model_copy(
        update={
            "id": wire.text(document.get("name")) or asked.id,
            "target": wire.text(properties.get("computeId")).rpartition("/")[2] or "serverless",
            "experiment": wire.text(properties.get("experimentName")) or "Default",
            "token": token,
            "created": histories.iso(wire.text(wire.at(document, "systemData", "createdAt"))) or asked.created,
            "state": "NotStarted",
            "display_name": wire.text(properties.get("displayName")) or None,
            # Without a token of ours nobody could tell whose job the next attempt is.
            "retry": "preemption" if token and own.get(attempts.RETRY) == "preemption" else "none",
        }
    )


def _last_attempt(site: Site, record: Record) -> Record:
    """Walk to the newest attempt: their names are counted up without a gap."""
    while record.token and record.attempt < attempts.MOST:
        name = attempt_name(record.id, record.attempt + 1)
        document = histories.job_named(site, record, name)
        if document is None or wire.at(document, "properties", "properties", TOKEN) != record.token:
            break
        ended = histories.details(site, record)
        before = Attempt(
            number=record.attempt,
            job=record.job_name,
            reason=(ended and ended.reason) or "preempted",
            started=ended.started if ended else None,
            ended=ended.ended if ended else None,
        )
        changes = {"attempt": record.attempt + 1, "attempts": (*record.attempts, before), "reason": None}
        record = record.model_copy(update=changes)
    return record
