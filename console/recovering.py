"""What `recover` does around the engine's own part: the cloud's connection, and the names that a dead destroy keeps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from console.purging import API, PURGE
from engine.lookup import Cloud
from engine.recover import Fact, recover
from runtime.control_plane import connect
from runtime.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from console.yard import Yard
    from engine.plan import Json
    from runtime.control_plane import ControlPlane

NOT_FOUND = 404
BLIND = ("SubscriptionNotFound", "InvalidSubscriptionId")
"""What ARM answers, also with 404, to an account that doesn't see the subscription: nothing is proved gone."""
WORKSPACE = "azure-native:machinelearningservices:Workspace"


def recovered(yard: Yard, stack: str) -> list[Fact]:
    """Put right what a killed engine, provider or emulator left of a stack; the facts, or nothing when it is fine.

    Raises:
        EngineError: the lock's holder may live; or the engine failed, with its own diagnostics.

    """
    session, spec = yard.session(stack)
    plane = connect(spec.cloud, yard.project)
    facts = recover(session, seen_by(plane))
    gone = [fact for fact in facts if fact.what == "forgotten" and fact.type == WORKSPACE]
    return [*facts, *(line for fact in gone if (line := still_named(plane, fact, stack)))]


def seen_by(plane: ControlPlane) -> Cloud:
    """Show the engine's part of the control plane what it asks for."""

    def found(id_: str, api: str) -> Mapping[str, Json] | None:
        try:
            return plane.get(id_, api)
        except RefusedError as error:
            if not _absent(error):
                raise
            return None

    def listed(collection: str, api: str) -> Sequence[Mapping[str, Json]]:
        try:
            return plane.list(collection, api)
        except RefusedError as error:
            if not _absent(error):
                raise
            return []

    return Cloud(plane.access.subscription_id, found, listed, time.sleep)


def _absent(error: RefusedError) -> bool:
    """Tell whether a refusal means that there is no such resource, and not that this account sees none of them."""
    return error.status == NOT_FOUND and error.code not in BLIND


def lines(facts: list[Fact], stack: str) -> list[str]:
    """Render one line a fact and what to type next."""
    if not facts:
        return ["  nothing to recover"]
    return [*(f"  {fact.line}" for fact in facts), f"  next: invoke up --stack {stack}"]


def still_named(plane: ControlPlane, fact: Fact, stack: str) -> Fact | None:
    """Purge a workspace that a dead destroy deleted softly in the emulator, as every destroy there does."""
    if plane.access.cloud != "emulator":
        words = f"Azure may keep the name {fact.name} for 14 days. If `up` says so: invoke purge --stack {stack}"
        return Fact("named", fact.name, fact.type, words)
    if plane.find(fact.id, API) is None and plane.delete(fact.id, API, PURGE):
        return Fact("purged", fact.name, fact.type, f"purged {fact.name}: the emulator had kept its name", fact.id)
    return None
