"""Takes resources that exist into a stack's state as if this program had made them. Makes and changes nothing in Azure.

`pulumi import` reads them through the provider, below the parents that the program gives them; then the state is put
right: what the service answers on its own is no input of ours, what it never answers (a password) stays the program's,
encrypted, and a `destroy` knows the order. So the next `up` neither replaces them nor sends them anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

from engine.goals import AUTONAMED, resources_of
from engine.locks import workplace
from engine.plan import SIGNATURE, UNKNOWN_VALUES, Json, mapping, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from engine.goals import Goal
    from engine.session import Session

    Resource: TypeAlias = Mapping[str, Json]

Decide: TypeAlias = "Callable[[Found, Mapping[str, Json]], Mapping[str, Json]]"
"""Decides what the state shall hold as a resource's inputs, given what was read of it from the cloud."""
FLAGS = ("--yes", "--skip-preview", "--generate-code=false", "--protect=false")
ROOT = "pulumi:pulumi:Stack"


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that exists: what the program asks for, its id, and why it needs an update if it came up broken."""

    goal: Goal
    id: str
    trouble: str = ""


def bring_in(
    session: Session,
    found: Sequence[Found],
    goals: Mapping[str, Goal],
    inputs: Decide | None = None,
) -> None:
    """Import resources below the parents that `goals` name, and settle their state. Blocks.

    `inputs`: decides what the state holds as their inputs, if not `by_the_program`.

    Raises:
        EngineError: with the engine's own diagnostics; what was imported before is settled.

    """
    from engine.operations import export, operate

    held = {text(item.get("urn")) for item in resources_of(export(session))}
    with workplace(session.data) as (folder, _):
        path = folder / "import.json"
        path.write_text(json.dumps(import_file(found, goals, held)), "utf-8")
        try:
            operate(session, ["import", *FLAGS, f"--file={path}"], None)
        finally:
            settle(session, found, inputs)


def read_again(session: Session, found: Sequence[Found]) -> None:
    """Read resources that are in the state already anew, and settle them. Blocks.

    Raises:
        EngineError: with the engine's own diagnostics; what was read before is settled.

    """
    from engine.operations import aimed, operate

    try:
        operate(session, ["refresh", "--yes", "--skip-preview", *aimed([item.goal.urn for item in found])], None)
    finally:
        settle(session, found)


def settle(session: Session, found: Sequence[Found], inputs: Decide | None = None) -> None:
    """Put right what the state holds of resources that were just imported. Idempotent; those not in it are left out.

    Raises:
        EngineError: the engine refuses the new state; the old one stays.

    """
    decide = inputs or by_the_program
    by_urn = {item.goal.urn: item for item in found}

    def change(resources: list[Resource]) -> list[Resource]:
        present = {text(item.get("urn")) for item in resources}
        chosen = ((item, by_urn.get(text(item.get("urn")))) for item in resources)
        return [_settled(item, known, present, decide) if known else item for item, known in chosen]

    rewrite(session, change)


def by_the_program(found: Found, read: Mapping[str, Json]) -> Mapping[str, Json]:
    """Decide on a resource's inputs: the program's own, with the cloud's word where the two differ."""
    return mapping(merged(dict(found.goal.inputs), dict(read)))


def rewrite(
    session: Session, change: Callable[[list[Resource]], list[Resource]], *, clear_pending: bool = False
) -> None:
    """Replace the stack's resources by `change` of them. The state travels by stdin, its secrets as ciphertext.

    Raises:
        EngineError: the engine refuses the new state; the old one stays.

    """
    from engine.operations import ask, export

    state = export(session)
    deployment = dict(mapping(state.get("deployment")))
    deployment["resources"] = [dict(item) for item in ordered(change(resources_of(state)))]
    if clear_pending:
        deployment.pop("pending_operations", None)
    ask(session, ["stack", "import"], stdin=json.dumps({**state, "deployment": deployment}))


def import_file(found: Sequence[Found], goals: Mapping[str, Goal], held: set[str]) -> dict[str, Json]:
    """Build what `pulumi import --file` reads; components that the state doesn't hold come along as parents."""
    names: dict[str, Json] = {}
    entries: dict[str, dict[str, Json]] = {}

    def key(urn: str) -> str:
        return f"n{list(goals).index(urn) if urn in goals else len(goals) + len(names)}"

    def place(urn: str) -> dict[str, Json]:
        if f"::{ROOT}::" in urn or not urn:
            return {}
        if urn in held or urn not in goals:
            known = next((name for name, value in names.items() if value == urn), None) or key(urn)
            names[known] = urn
            return {"parent": known}
        goal = goals[urn]
        if urn not in entries:
            entries[urn] = {
                "type": goal.type, "name": key(urn), "logicalName": goal.name, "component": True, **place(goal.parent)
            }  # fmt: skip
        return {"parent": text(entries[urn]["name"])}

    resources: list[Json] = []
    for number, item in enumerate(found):
        version: dict[str, Json] = {"version": item.goal.version} if item.goal.version else {}
        resources.append({
            "type": item.goal.type, "name": f"r{number}", "logicalName": item.goal.name, "id": item.id,
            **version, **place(item.goal.parent),
        })  # fmt: skip
    return {"nameTable": names, "resources": [*entries.values(), *resources]}


def merged(wanted: Json, read: Json) -> Json:
    """Return the program's value, with the cloud's where the two differ; what is only in the cloud is left out.

    Secrets and what the cloud doesn't answer are taken on trust; what isn't known yet is the cloud's.
    """
    if isinstance(wanted, str) and wanted in UNKNOWN_VALUES:
        return read
    if isinstance(wanted, dict):
        if SIGNATURE in wanted or not isinstance(read, dict):
            return wanted if read is None or SIGNATURE in wanted else read
        both = {name: merged(value, read.get(name)) for name, value in wanted.items()}
        return {name: value for name, value in both.items() if value is not None or wanted[name] is None}
    if isinstance(wanted, list) and isinstance(read, list) and len(wanted) == len(read):
        return [merged(left, right) for left, right in zip(wanted, read, strict=True)]
    if isinstance(wanted, str) and isinstance(read, str) and wanted.casefold() == read.casefold():
        return wanted
    return wanted if read is None else read


def ordered(resources: Iterable[Resource]) -> list[Resource]:
    """Sort resources so that each comes after what it names, as the engine demands of a state; otherwise as given.

    Names of resources that aren't there any more are dropped.
    """
    given = list(resources)
    present = {text(item.get("urn")) for item in given}
    places: dict[str, list[int]] = {}
    for place, item in enumerate(given):
        places.setdefault(text(item.get("urn")), []).append(place)
    before = {
        place: [found for urn in sorted(_names(item) & present) for found in places[urn]]
        for place, item in enumerate(given)
    }
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:  # the engine says it better
        order = list(before)
    return [_without(given[place], present) for place in order]


def _settled(item: Resource, found: Found, present: set[str], decide: Decide) -> Resource:
    goal = found.goal
    settled = dict(item)
    values = dict(decide(found, mapping(item.get("inputs"))))
    if goal.autonamed:
        values |= {AUTONAMED: True, **_own_name(goal, item)}
    settled["inputs"] = values
    settled["dependencies"] = [urn for urn in goal.dependencies if urn in present]
    settled["propertyDependencies"] = {
        name: [urn for urn in urns if urn in present] for name, urns in goal.uses.items()
    }
    if found.trouble:
        settled["initErrors"] = [found.trouble]
    return settled


def _own_name(goal: Goal, item: Resource) -> dict[str, Json]:
    from engine.arm import KINDS

    name = KINDS[goal.type].parameter
    return {name: mapping(item.get("inputs")).get(name)}


def _names(item: Resource) -> set[str]:
    provider = text(item.get("provider")).rpartition("::")[0]
    lists = [item.get("dependencies"), *mapping(item.get("propertyDependencies")).values()]
    named = {text(urn) for urns in lists if isinstance(urns, list) for urn in urns}
    return {urn for urn in {*named, text(item.get("parent")), provider} if urn} - {text(item.get("urn"))}


def _without(item: Resource, present: set[str]) -> Resource:
    """Drop the names of dependencies that aren't there."""
    cleaned = dict(item)
    if isinstance(known := cleaned.get("dependencies"), list):
        cleaned["dependencies"] = [urn for urn in known if urn in present]
    if uses := mapping(cleaned.get("propertyDependencies")):
        cleaned["propertyDependencies"] = {
            name: [urn for urn in urns if urn in present] if isinstance(urns, list) else urns
            for name, urns in uses.items()
        }
    return cleaned
