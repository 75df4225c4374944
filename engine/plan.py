"""The engine's events, read: what an operation will do, or did, as a list of changes. Pure; knows no files, no Azure.

The engine writes the same events for preview, up, refresh and destroy (`--event-log`; sdk/go/common/apitype/events.go),
with the several steps of a replacement folded into one change here. Secrets arrive blinded and stay so.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Op = Literal["create", "update", "replace", "delete", "same", "read", "import"]

SECRET = "[secret]"  # noqa: S105 - what is shown instead of one
UNKNOWN = "[known after up]"
SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key that marks a secret or an output in serialized properties: sdk/go/common/resource/sig, `sig.Key`."""
SIGNED_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the public constant `sig.Secret`
UNKNOWN_VALUES = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # plugin.UnknownStringValue
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
OPS: Mapping[str, Op] = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "discard": "delete",
    "same": "same",
    "refresh": "same",
    "read": "read",
    "import": "import",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "discard-replaced": "replace",
    "read-replacement": "replace",
    "import-replacement": "replace",
}
BOOKKEEPING = ("pulumi:pulumi:", "pulumi:providers:")


@dataclass(frozen=True)
class Property:
    """One property that differs: dotted path, values blinded where secret, whether it makes the resource a new one."""

    path: str
    old: Json
    new: Json
    replaces: bool


@dataclass(frozen=True)
class Change:
    """What happens to one resource. `component` ones exist in the program only, not in the cloud."""

    urn: str
    name: str
    type: str
    op: Op
    properties: tuple[Property, ...] = ()
    component: bool = False
    inputs: Mapping[str, Json] = field(default_factory=dict, compare=False, repr=False)
    """All its inputs afterwards, blinded; of an update only."""


@dataclass(frozen=True)
class Plan:
    """What an operation will do, or did, but for the stack itself and the providers; and the engine's warnings."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()
    duration_s: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many resources in the cloud meet each op; components are not counted."""
        return dict(Counter(change.op for change in self.changes if not change.component))

    @property
    def differences(self) -> tuple[Change, ...]:
        """The changes that are one: neither the same nor merely read."""
        return tuple(change for change in self.changes if change.op not in ("same", "read"))

    @property
    def empty(self) -> bool:
        """Tell whether nothing changes."""
        return not self.differences


def plan_of(events: Iterable[Mapping[str, Json]], duration_s: float = 0.0) -> Plan:
    """Fold the events of one operation into a plan, in the order in which resources first appear."""
    steps: dict[str, list[Mapping[str, Json]]] = {}
    warnings = []
    for event in events:
        step = step_of(event)
        if step is not None and not text(step.get("type")).startswith(BOOKKEEPING):
            steps.setdefault(text(step.get("urn")), []).append(step)
        elif message := diagnostic(event, "warning"):
            warnings.append(message)
    changes = (change_of(urn, found) for urn, found in steps.items())
    return Plan(tuple(change for change in changes if change is not None), tuple(dict.fromkeys(warnings)), duration_s)


def step_of(event: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Return the metadata of a step that an event reports as begun or done, or None for any other event."""
    for name in ("resourcePreEvent", "resOutputsEvent"):
        if name in event:
            return mapping(mapping(event[name]).get("metadata"))
    return None


def change_of(urn: str, steps: Sequence[Mapping[str, Json]]) -> Change | None:
    """Fold the steps of one resource: any step of a replacement makes it one; else the last step's word counts.

    A refresh begins as `refresh` and ends as `same`, `update` or `delete`, so the last word is the finding.
    """
    ops = [OPS[text(step.get("op"))] for step in steps if text(step.get("op")) in OPS]
    if not ops:
        return None
    op = "replace" if "replace" in ops else ops[-1]
    whole = next((step for step in reversed(steps) if step.get("old") and step.get("new")), steps[-1])
    state = mapping(steps[-1].get("new") or steps[-1].get("old"))
    found = properties_of(whole) if op in ("update", "replace") else ()
    after = blinded(dict(mapping(state.get("inputs")))) if op == "update" else {}
    component = state.get("custom") is not True
    return Change(urn, name_of(urn), text(steps[-1].get("type")), op, found, component, mapping(after))


def name_of(urn: str) -> str:
    """Return a resource's own name: what follows the last `::` of its URN."""
    return urn.rpartition("::")[2]


def properties_of(step: Mapping[str, Json]) -> tuple[Property, ...]:
    """List what differs: by the provider's detailed diff, or else by comparing the inputs leaf by leaf."""
    old, new = mapping(step.get("old")), mapping(step.get("new"))
    detailed = mapping(step.get("detailedDiff"))
    if detailed:
        return tuple(
            Property(path, before(old, path, mapping(how)), after(new, path, mapping(how)), replaces(mapping(how)))
            for path, how in sorted(detailed.items())
        )
    keys = {text(key) for key in listing(step.get("keys"))}
    changed = [text(key) for key in listing(step.get("diffs"))]
    found = list(leaves("", mapping(old.get("inputs")), mapping(new.get("inputs"))))
    seen = {top(path) for path, _, _ in found}
    # A changed secret is blinded on both sides and so compares equal: the engine's own list still names it.
    found += [(key, before(old, key, {}), after(new, key, {})) for key in changed if top(key) not in seen]
    return tuple(Property(path, left, right, top(path) in {top(key) for key in keys}) for path, left, right in found)


def replaces(how: Mapping[str, Json]) -> bool:
    """Tell whether a detailed difference makes the resource a new one."""
    return text(how.get("diffKind")).endswith("-replace")


def before(state: Mapping[str, Json], path: str, how: Mapping[str, Json]) -> Json:
    """Return the old value at `path`: of the inputs if the difference is one of inputs, else of the outputs first."""
    sides = ("inputs", "outputs") if how.get("inputDiff") or not how else ("outputs", "inputs")
    return next((value for side in sides if (value := look_up(mapping(state.get(side)), path)) is not None), None)


def after(state: Mapping[str, Json], path: str, how: Mapping[str, Json]) -> Json:
    """Return the new value at `path`: of the inputs; what the provider alone knows is in the outputs."""
    del how
    sides = ("inputs", "outputs")
    return next((value for side in sides if (value := look_up(mapping(state.get(side)), path)) is not None), None)


def look_up(properties: Mapping[str, Json], path: str) -> Json:
    """Return the blinded value at a property path such as `a.b[0].c` or `a["b.c"]`, or None if there is none."""
    value: Json = dict(properties)
    for part in re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)', path):
        quoted, index, key = part
        if blinded(value) in (SECRET, UNKNOWN):
            break
        if isinstance(value, list) and index and int(index) < len(value):
            value = value[int(index)]
        elif isinstance(value, dict):
            value = value.get(quoted or index or key)
        else:
            return None
    return blinded(value)


def blinded(value: Json) -> Json:
    """Return the value with secrets, unknowns and the engine's wrappers replaced by what may be shown."""
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWN_VALUES else value
    if isinstance(value, list):
        return [blinded(item) for item in value]
    if isinstance(value, dict):
        if SIGNATURE in value:
            return SECRET if value[SIGNATURE] == SIGNED_SECRET else blinded(value.get("value", UNKNOWN))
        return {key: blinded(item) for key, item in value.items()}
    return value


def leaves(path: str, old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterable[tuple[str, Json, Json]]:
    """Yield every differing leaf of two objects with its dotted path; lists differ as a whole."""
    for key in sorted({*old, *new}):
        left, right = blinded(old.get(key)), blinded(new.get(key))
        where = f"{path}.{key}" if path else key
        if isinstance(left, dict) and isinstance(right, dict):
            yield from leaves(where, left, right)
        elif left != right:
            yield where, left, right


def top(path: str) -> str:
    """Return the first name of a property path."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def diagnostic(event: Mapping[str, Json], severity: str) -> str | None:
    """Return the message of a diagnostic of this severity, led by its resource's name; None for any other event."""
    found = mapping(event.get("diagnosticEvent"))
    if found.get("severity") != severity:
        return None
    words = text(found.get("message")).strip()
    urn = text(found.get("urn"))
    known = urn and "::pulumi:pulumi:Stack::" not in urn
    return f"{name_of(urn)}: {words}" if known and words else words or None


def mapping(value: Json) -> Mapping[str, Json]:
    """Return an object as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: Json) -> list[Json]:
    """Return a list as it is, and anything else as an empty one."""
    return value if isinstance(value, list) else []


def text(value: Json) -> str:
    """Return a string as it is, and anything else as an empty one."""
    return value if isinstance(value, str) else ""
