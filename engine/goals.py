"""What the program asks for, resource by resource, before anything is made: read from the plan that a preview saves.

The saved plan (`pulumi preview --save-plan`; sdk/v3.255.0 go/common/apitype/plan.go, `ResourcePlanV1`) has what the
event log blinds: inputs with their secrets encrypted, parents, and which property depends on which resource.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.arm import KINDS
from engine.locks import workplace
from engine.plan import BOOKKEEPING, UNKNOWN_VALUES, Json, listing, mapping, name_of, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.session import Session

AUTONAMED = "__createBeforeDelete"
"""In the inputs of what the provider named at random (the vendor's provider.go, `getAutoname`)."""
VERSION = re.compile(r"::default_(\d+)_(\d+)_(\d+)(?:::|$)")
"""How the engine names the default provider of a package at a version: pkg/v3.255.0 resource/deploy/source_eval.go."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One resource that the program asks for; `inputs` as they would be sent, secrets as ciphertext."""

    urn: str
    type: str
    custom: bool
    parent: str
    provider: str
    inputs: Mapping[str, Json]
    dependencies: tuple[str, ...]
    uses: Mapping[str, tuple[str, ...]]
    """By input: the resources whose outputs it is made of."""

    @property
    def name(self) -> str:
        """The logical name."""
        return name_of(self.urn)

    @property
    def words(self) -> str:
        """Its name and type, for people."""
        return f"{self.name} ({short(self.type)})"

    @property
    def version(self) -> str:
        """The version of the provider's package, or empty."""
        found = VERSION.search(self.provider)
        return ".".join(found.groups()) if found else ""

    @property
    def autonamed(self) -> bool:
        """Tell whether its name in the cloud was random when it was made."""
        return self.inputs.get(AUTONAMED) is True


def planned(session: Session, state: Mapping[str, Json]) -> dict[str, Goal]:
    """Return what the program asks for, by URN. Runs a preview; changes nothing. Blocks.

    Raises:
        EngineError: with the engine's own diagnostics.

    """
    from engine.operations import operate

    with workplace(session.data) as (folder, _):
        path = folder / "plan.json"
        operate(session, ["preview", f"--save-plan={path}"], None)
        document: Json = json.loads(path.read_text("utf-8"))
    return goals_of(mapping(document), resources_of(state))


def goals_of(document: Mapping[str, Json], resources: Sequence[Mapping[str, Json]]) -> dict[str, Goal]:
    """Read a saved plan. Inputs are saved as a difference to the state's: these are the `resources`."""
    known = {text(found.get("urn")): mapping(found.get("inputs")) for found in resources}
    goals = {}
    for urn, plan in mapping(document.get("resourcePlans")).items():
        goal = mapping(mapping(plan).get("goal"))
        if goal and not text(goal.get("type")).startswith(BOOKKEEPING):
            goals[urn] = _goal(urn, goal, _applied(known.get(urn, {}), mapping(goal.get("inputDiff"))))
    return goals


def pending_goals(state: Mapping[str, Json]) -> dict[str, Goal]:
    """Return what was being made when the engine died, by URN, as the state has noted it."""
    found = (mapping(item) for item in listing(mapping(state.get("deployment")).get("pending_operations")))
    made = [mapping(item.get("resource")) for item in found if item.get("type") == "creating"]
    return {text(item.get("urn")): _goal(text(item.get("urn")), item, mapping(item.get("inputs"))) for item in made}


def resources_of(state: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """List the resources of an exported state, in order."""
    return [mapping(item) for item in listing(mapping(state.get("deployment")).get("resources"))]


def short(type_: str) -> str:
    """Return the last word of a type token."""
    return type_.rpartition(":")[2]


def value_of(goal: Goal, name: str, goals: Mapping[str, Goal], subscription: str) -> str | None:
    """Return a string input, also where only an unmade resource will say it: then as that one's own input of that name.

    So `workspaceName` of a compute is the workspace's, and a scope is the id of what it depends on.
    """
    given = text(goal.inputs.get(name))
    if given and given not in UNKNOWN_VALUES:
        return given
    for urn in goal.uses.get(name, ()):
        other = goals.get(urn)
        if other is None or (other.autonamed and name != "scope"):
            continue
        found = id_of(other, goals, subscription) if name == "scope" else value_of(other, name, goals, subscription)
        if found:
            return found
    return None


def id_of(goal: Goal, goals: Mapping[str, Goal], subscription: str) -> str | None:
    """Return a resource's ARM id before it is made; None where its type or a name in it isn't known yet."""
    kind = KINDS.get(goal.type)
    if kind is None or goal.autonamed:
        return None
    return kind.id(subscription, lambda name: value_of(goal, name, goals, subscription))


def _goal(urn: str, found: Mapping[str, Json], inputs: Mapping[str, Json]) -> Goal:
    uses = mapping(found.get("propertyDependencies"))
    return Goal(
        urn=urn,
        type=text(found.get("type")),
        custom=found.get("custom") is True,
        parent=text(found.get("parent")),
        provider=text(found.get("provider")),
        inputs=inputs,
        dependencies=_strings(found.get("dependencies")),
        uses={name: _strings(urns) for name, urns in uses.items()},
    )


def _applied(old: Mapping[str, Json], difference: Mapping[str, Json]) -> dict[str, Json]:
    gone = set(_strings(difference.get("deletes")))
    kept = {name: value for name, value in old.items() if name not in gone}
    return {**kept, **mapping(difference.get("adds")), **mapping(difference.get("updates"))}


def _strings(value: Json) -> tuple[str, ...]:
    return tuple(text(item) for item in listing(value))
