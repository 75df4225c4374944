"""Asks the control plane what of a program's resources is there already, and judges whose it is.

What was made by an operation of this stack that died may be taken into its state; what was there before is somebody
else's, and only `invoke adopt` takes that over. The proof is the time of creation that the service itself tells.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from engine.arm import KINDS, ROLE_ASSIGNMENT
from engine.errors import EngineError
from engine.goals import id_of, value_of
from engine.importing import Found
from engine.plan import Json, mapping, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from engine.arm import Kind
    from engine.goals import Goal

Document: TypeAlias = "Mapping[str, Json]"

AT_ONCE = 8
"""Requests to the control plane at a time."""
LOOK_S = 2.0
PATIENCE = 450
"""Looks at a resource that comes up or goes: 15 minutes; a workspace's managed network takes the longest."""
FINAL = frozenset({"Succeeded", "Failed", "Canceled", ""})
"""Provisioning states that stay: ARM's resource-provider contract, "Asynchronous operations"."""
SKEW = timedelta(minutes=5)
"""By how much this machine's clock and Azure's may differ: ours to choose."""
BIRTHS = ("creationTime", "CreationDate", "createdDate")
"""Where a type tells its creation that has no `systemData`: storage accounts, Application Insights, Log Analytics."""
GROUP = "azure-native:resources:ResourceGroup"


@dataclass(frozen=True, slots=True)
class Cloud:
    """The control plane, as far as recovery asks it. Ids are ARM's."""

    subscription: str
    find: Callable[[str, str], Document | None]
    """GET an id at an api-version; None when nothing is there."""
    list: Callable[[str, str], Sequence[Document]]
    """GET a collection; nothing when its parent isn't there."""
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Findings:
    """What of the wanted resources is there."""

    ours: tuple[Found, ...]
    foreign: tuple[Found, ...]
    """There, but made before anything of ours could have made it."""
    unknown: tuple[Goal, ...]
    """Of a type that we can't look up."""
    undecided: bool
    """Some can only be looked up once others are in the state."""


def look(
    cloud: Cloud, wanted: Sequence[Goal], goals: Mapping[str, Goal], held: set[str], began: datetime | None
) -> Findings:
    """Look every wanted resource up. Blocks until those that come up or go have done so.

    `held`: ids in lower case that the state holds already. `began`: when the first operation began that may have made
    something without recording it; None when there was none.

    Raises:
        EngineError: one doesn't settle.

    """
    known = [goal for goal in wanted if goal.type in KINDS]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda goal: _find(cloud, goal, goals, held), known))
    there = [(goal, document) for goal, document in zip(known, answers, strict=True) if document]
    theirs = _foreign(there, began)
    found = [(_found(goal, document), goal.urn in theirs) for goal, document in there]
    return Findings(
        ours=tuple(item for item, foreign in found if not foreign),
        foreign=tuple(item for item, foreign in found if foreign),
        unknown=tuple(goal for goal in wanted if goal.type not in KINDS),
        undecided=any(document is None for document in answers),
    )


def settled(cloud: Cloud, id_: str, api: str) -> Document | None:
    """GET a resource, waiting while it comes up or goes; None when it is gone.

    Raises:
        EngineError: it took too long.

    """
    for _ in range(PATIENCE):
        document = cloud.find(id_, api)
        if document is None or state_of(document) in FINAL:
            return document
        cloud.sleep(LOOK_S)
    message = f"{id_} has been {state_of(document or {})} for too long"
    raise EngineError(message, "Look at it in the portal, then type it again.")


def state_of(document: Document) -> str:
    """Return a resource's provisioning state; empty where the type has none."""
    return text(mapping(document.get("properties")).get("provisioningState"))


def born(document: Document) -> datetime | None:
    """Return when a resource was made, as far as its type tells."""
    properties = mapping(document.get("properties"))
    said = [mapping(document.get("systemData")).get("createdAt"), *(properties.get(name) for name in BIRTHS)]
    return next((found for item in said if (found := moment(text(item)))), None)


def moment(words: str) -> datetime | None:
    """Read a time as ARM and the engine write it: RFC 3339 with up to nine decimals; None for anything else."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", words))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _find(cloud: Cloud, goal: Goal, goals: Mapping[str, Goal], held: set[str]) -> Document | None:
    """Return the resource's document; empty when it isn't there, None when that can't be told yet."""
    kind = KINDS[goal.type]
    if goal.autonamed:
        return _unnamed(cloud, goal, goals, held)
    id_ = id_of(goal, goals, cloud.subscription)
    if id_ is None:
        return None
    found = settled(cloud, id_, kind.api) or {}
    # One that the state holds under another URN goes by an alias: it is nobody's to import.
    return {} if text(found.get("id")).lower() in held else found


def _unnamed(cloud: Cloud, goal: Goal, goals: Mapping[str, Goal], held: set[str]) -> Document | None:
    """Find what was named at random: by its logical name and 8 hexadecimal digits; a role assignment by its content."""
    kind = KINDS[goal.type]
    collection = kind.collection.id(cloud.subscription, lambda name: value_of(goal, name, goals, cloud.subscription))
    if collection is None:
        return None
    if goal.type == ROLE_ASSIGNMENT:
        principal = value_of(goal, "principalId", goals, cloud.subscription)
        if principal is None:
            return None
        role = text(goal.inputs.get("roleDefinitionId")).rpartition("/")[2].lower()

        def fits(document: Document) -> bool:
            given = mapping(document.get("properties"))
            own = text(document.get("id")).lower().startswith(f"{collection}/".lower())  # the list has inherited ones
            same = text(given.get("roleDefinitionId")).lower().endswith(f"/{role}")
            return own and same and given.get("principalId") == principal
    else:
        pattern = re.compile(rf"{re.escape(goal.name)}[0-9a-f]{{8}}")

        def fits(document: Document) -> bool:
            return pattern.fullmatch(text(document.get("name"))) is not None

    return _first(cloud, kind, (item for item in cloud.list(collection, kind.api) if fits(item)), held)


def _first(cloud: Cloud, kind: Kind, documents: Iterable[Document], held: set[str]) -> Document:
    for item in documents:
        id_ = text(item.get("id"))
        if id_.lower() not in held and (found := settled(cloud, id_, kind.api)):
            return found
    return {}


def _foreign(there: Sequence[tuple[Goal, Document]], began: datetime | None) -> set[str]:
    """Return the URNs of what was there before us, and of all below it. With anything in it, a group is theirs too."""
    ids = {goal.urn: text(document.get("id")).lower() for goal, document in there}
    theirs = {goal.urn for goal, document in there if _older(document, began) or _another(goal, document)}
    groups = [goal.urn for goal, _ in there if goal.type == GROUP]
    theirs |= {group for group in groups if any(ids[urn].startswith(f"{ids[group]}/") for urn in theirs)}
    above = tuple(f"{ids[urn]}/" for urn in theirs)
    return theirs | {urn for urn, id_ in ids.items() if id_.startswith(above)}


def _older(document: Document, began: datetime | None) -> bool:
    if began is None:
        return True
    at = born(document)
    return at is not None and at < began - SKEW


def _another(goal: Goal, document: Document) -> bool:
    """Tell whether a group that doesn't say its age is not the one that the program asks for."""
    if goal.type != GROUP:
        return False
    wanted, there = mapping(goal.inputs.get("tags")), mapping(document.get("tags"))
    places = [text(item).replace(" ", "").lower() for item in (goal.inputs.get("location"), document.get("location"))]
    return places[0] != places[1] or any(there.get(name) != value for name, value in wanted.items())


def _found(goal: Goal, document: Document) -> Found:
    state = state_of(document)
    return Found(goal, text(document.get("id")), f"it came up as {state}" if state in ("Failed", "Canceled") else "")
