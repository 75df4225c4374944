"""`recover`: after a kill of the engine, the provider or the emulator, make the state say what the cloud holds.

In this order, each step safe to repeat: the lock of a dead holder goes, and its orphans; what the state holds and the
cloud doesn't is forgotten; what a dead operation made without recording it is imported; what was noted as being under
way is struck off once it has been looked up. Nothing is made, changed or deleted in the cloud: the next `up` does that.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from engine.arm import KINDS
from engine.errors import LOCKED, NOT_DEPLOYED, EngineError
from engine.goals import pending_goals, planned, resources_of, short
from engine.importing import Found, bring_in, read_again, rewrite, settle
from engine.lookup import AT_ONCE, FINAL, look, moment, settled
from engine.plan import Json, listing, mapping, name_of, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from engine.goals import Goal
    from engine.lookup import Cloud, Findings
    from engine.session import Session

Resource: TypeAlias = "Mapping[str, Json]"
What: TypeAlias = Literal[
    "lock", "process", "torn", "forgotten", "imported", "settled", "pending", "foreign", "unknown", "named", "purged"
]

OURS = "azure-native:"
ROUNDS = 5
"""Previews at most: each makes ids known that the one before could not know; a stack is four resources deep."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was found, and put right unless the line says what to type."""

    what: What
    name: str
    type: str
    """Pulumi's type token; empty for what is no resource."""
    line: str
    id: str = ""
    """ARM's, where there is one."""


def recover(session: Session, cloud: Cloud) -> list[Fact]:
    """Bring the state of a stack back in line with the cloud after a kill. Nothing to say when it is. Idempotent.

    Raises:
        EngineError: the lock's holder may live; or the engine failed, with its own diagnostics.

    """
    from engine import operations

    facts = freed(session)
    try:
        state = operations.export(session)
    except EngineError as error:
        if error.exit_code != NOT_DEPLOYED:
            raise
        return facts  # killed before it kept anything: it had not begun to make anything either
    try:
        facts += forget(session, cloud, state)
        facts += take_in(session, cloud, began(session))
        facts += strike_off(session)
    except EngineError as error:
        if error.exit_code == LOCKED and session.users_own_backend():
            error.hint = f"Wait for it to end. If that process is gone: pulumi cancel --stack {session.stack}"
        raise
    marker(session).unlink(missing_ok=True)
    return facts


def freed(session: Session) -> list[Fact]:
    """Take away the locks of dead holders, and their orphans. In a backend of the user's own, locks are left alone.

    Raises:
        EngineError: a holder may live.

    """
    from engine import operations

    if session.users_own_backend():
        return []
    found = operations.unlock(session, before=lambda since: _remember(session, since))
    gone = "that process is dead: the lock was taken away"
    locks = [
        Fact("lock", session.stack, "", f"stack {session.stack} was locked by {lock}; {gone}") for lock in found.locks
    ]
    ended = [
        Fact("process", name, "", f"ended an orphan: {name}, process {pid}") for pid, name in found.orphans.items()
    ]
    torn = [Fact("torn", name, "", f"took away {name}: the engine was killed while it wrote it") for name in found.torn]
    return [*locks, *ended, *torn]


def began(session: Session) -> datetime | None:
    """Return when the first operation began that may have made something without recording it, or None.

    Known from the locks that were just taken away, and from the engine's own history, which has those that failed.
    """
    from engine import operations

    times = [moment(line) for line in _lines(marker(session))]
    history: Json = json.loads(operations.ask(session, ["stack", "history", "--json"]))
    for entry in (mapping(item) for item in listing(history)):  # newest first
        if entry.get("kind") not in ("update", "destroy"):
            continue
        if entry.get("result") == "succeeded":
            break
        times.append(moment(text(entry.get("startTime"))))
    return min((found for found in times if found), default=None)


def marker(session: Session) -> Path:
    """Return the file that remembers when a killed operation began, until its traces are put right."""
    return session.data / f"recovering-{session.stack}"


def forget(session: Session, cloud: Cloud, state: Mapping[str, Json]) -> list[Fact]:
    """Take out of the state what isn't in the cloud any more. Waits for what is being deleted.

    Raises:
        EngineError: the engine refuses the new state; the old one stays.

    """
    held = [item for item in resources_of(state) if _is_ours(item)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        there = list(pool.map(lambda item: _is_there(cloud, item), held))
    gone = [item for item, found in zip(held, there, strict=True) if not found]
    if not gone:
        return []
    lost = {_key(item) for item in gone}
    parents = {text(item.get("parent")) for item in resources_of(state) if _key(item) not in lost}
    dropped = [item for item in gone if text(item.get("urn")) not in parents]
    keys = {_key(item) for item in dropped}
    rewrite(session, lambda resources: [item for item in resources if _key(item) not in keys])
    return [_fact("forgotten", item, "forgot {}: it is gone from the cloud") for item in dropped]


def take_in(session: Session, cloud: Cloud, since: datetime | None) -> list[Fact]:
    """Import what the program asks for, the state lacks and a dead operation made.

    Raises:
        EngineError: with the engine's own diagnostics.

    """
    from engine import operations

    facts: list[Fact] = []
    for _ in range(ROUNDS):
        state = operations.export(session)
        resources = resources_of(state)
        pending = pending_goals(state)
        goals = planned(session, state)
        held = {text(item.get("urn")): item for item in resources if item.get("delete") is not True}
        goals |= {urn: goal for urn, goal in pending.items() if goal.parent in {*held, *goals}}
        wanted = [goal for goal in goals.values() if goal.custom and goal.urn not in held]
        ids = {text(item.get("id")).lower() for item in resources}
        findings = look(cloud, [goal for goal in wanted if goal.type.startswith(OURS)], goals, ids, since)
        loose = _loose(held, goals)
        if loose:
            settle(session, loose)
            facts += [
                _about("settled", item, "put {} right in the state: its import had been cut off") for item in loose
            ]
        if unread := _unread(held, goals):
            read_again(session, unread)
            facts += [_about("settled", item, "read {} again: the cloud's last answer was lost") for item in unread]
        if findings.ours:
            bring_in(session, findings.ours, goals)
            facts += [_about("imported", item, "imported {}: it was made and not recorded") for item in findings.ours]
        if not (findings.ours and findings.undecided):
            return [*facts, *_left(findings, session.stack)]
    return facts


def strike_off(session: Session) -> list[Fact]:
    """Clear what the state notes as being under way: by now each has been looked up.

    Raises:
        EngineError: the engine refuses the new state; the old one stays.

    """
    from engine import operations

    pending = [
        mapping(item)
        for item in listing(mapping(operations.export(session).get("deployment")).get("pending_operations"))
    ]
    if not pending:
        return []
    rewrite(session, list, clear_pending=True)
    return [
        _fact("pending", mapping(item.get("resource")), f"struck off that {{}} was {text(item.get('type'))}")
        for item in pending
    ]


def _is_ours(item: Resource) -> bool:
    return item.get("custom") is True and text(item.get("type")).startswith(OURS) and bool(item.get("id"))


def _is_there(cloud: Cloud, item: Resource) -> bool:
    """Tell whether the cloud has it. One whose replacement had begun with its deletion isn't there, whatever is now."""
    if item.get("pendingReplacement") is True:
        return False
    kind = KINDS.get(text(item.get("type")))
    api = kind.api if kind else text(mapping(item.get("inputs")).get("azureApiVersion"))
    return not api or settled(cloud, text(item.get("id")), api) is not None


def _key(item: Resource) -> tuple[str, str, bool]:
    return text(item.get("urn")), text(item.get("id")), item.get("delete") is True


def _loose(held: Mapping[str, Resource], goals: Mapping[str, Goal]) -> list[Found]:
    """List what was imported by a `recover` that was killed itself: it has no dependencies where the program has."""
    return [
        Found(goals[urn], text(item.get("id")))
        for urn, item in held.items()
        if urn in goals and _is_ours(item) and goals[urn].uses and not item.get("propertyDependencies")
    ]


def _unread(held: Mapping[str, Resource], goals: Mapping[str, Goal]) -> list[Found]:
    """List what was recorded as it came up, or without the service's answer; every ARM resource answers its name."""
    found = []
    for urn, item in held.items():
        outputs = mapping(item.get("outputs"))
        states = {text(part.get("provisioningState")) for part in (outputs, mapping(outputs.get("properties")))}
        if urn in goals and _is_ours(item) and (not outputs.get("name") or not states <= FINAL):
            # Its recorded inputs are what was sent; the program may ask for others by now.
            found.append(Found(replace(goals[urn], inputs=mapping(item.get("inputs"))), text(item.get("id"))))
    return found


def _left(findings: Findings, stack: str) -> list[Fact]:
    there = "{} is there, and no dead operation of this stack made it. To take it over: invoke adopt"
    foreign = [_about("foreign", item, f"{there} {item.goal.name} --stack {stack}") for item in findings.foreign]
    words = "{}: this type can't be looked up. If `up` says that it exists: invoke adopt"
    return [*foreign, *(Fact("unknown", goal.name, goal.type, words.format(goal.words)) for goal in findings.unknown)]


def _about(what: What, item: Found, words: str) -> Fact:
    return Fact(what, item.goal.name, item.goal.type, words.format(item.goal.words), item.id)


def _fact(what: What, item: Resource, words: str) -> Fact:
    name, type_ = name_of(text(item.get("urn"))), text(item.get("type"))
    return Fact(what, name, type_, words.format(f"{name} ({short(type_)})"), text(item.get("id")))


def _remember(session: Session, since: str) -> None:
    with marker(session).open("a", encoding="utf-8") as file:
        file.write(f"{since}\n")


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []
