"""What changed between two property maps, and how such a change is carried over to a third. Pure.

Inputs are compared with inputs, as the vendor does (pulumi-azure-native, diff.go). The answer is by property path
(`properties.properties.vmSize`), never by top-level name: the engine matches `replace_on_changes` against these paths.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from emulator.provider.wire import API_VERSION, STRING_SETS

if TYPE_CHECKING:
    from emulator.provider.table import ResourceType
    from emulator.routing import Json


class Change(Enum):
    """The kinds of the protocol's `PropertyDiff`."""

    ADD = "ADD"
    ADD_REPLACE = "ADD_REPLACE"
    DELETE = "DELETE"
    DELETE_REPLACE = "DELETE_REPLACE"
    UPDATE = "UPDATE"
    UPDATE_REPLACE = "UPDATE_REPLACE"

    @property
    def replaces(self) -> bool:
        """Whether the resource has to be made anew."""
        return self.value.endswith("_REPLACE")


CREATE_BEFORE_DELETE = "__createBeforeDelete"
"""Set in the inputs by autonaming: a random name lets the new one exist beside the old one."""


def compare(row: ResourceType, old: dict[str, Json], new: dict[str, Json], state: dict[str, Json]) -> dict[str, Change]:
    """Compare old inputs with new ones. `state` is the old outputs."""
    changes: dict[str, Change] = {}
    for name in (*old, *(name for name in new if name not in old)):
        if name.startswith("__") or name == API_VERSION or _same_top(name, old.get(name), new.get(name)):
            continue
        found = _walk(name, old.get(name), new.get(name))
        if name in row.replace and not (name not in old and _same_top(name, new.get(name), state.get(name))):
            found = {path: Change[f"{change.name}_REPLACE"] for path, change in found.items()}
        changes.update(found)
    return changes


def delete_first(changes: dict[str, Change], old: dict[str, Json]) -> bool:
    """Whether a replacement has to delete before it creates: the names would collide."""
    flag = old.get(CREATE_BEFORE_DELETE)
    return not flag if isinstance(flag, bool) else any(change.replaces for change in changes.values())


def patch(base: Json, old: Json, new: Json) -> Json:
    """Carry the difference between `old` and `new` over to `base` (diff.go, applyDiff).

    `base` are inputs and the others are outputs, which hold the service's defaults as well: only what changed in the
    cloud is copied, so that a default never becomes an input.
    """
    if _same(old, new):
        return base
    if isinstance(base, dict) and isinstance(old, dict) and isinstance(new, dict):
        kept = {name: item for name, item in base.items() if name not in old or name in new}
        for name, item in new.items():
            if name in STRING_SETS and _same_set(old.get(name), item):
                continue
            if name not in old or not _same(old[name], item):
                kept[name] = patch(base[name], old.get(name), item) if name in base else item
        return kept
    if isinstance(base, list) and isinstance(old, list) and isinstance(new, list):
        known = min(len(base), len(old))
        return [patch(base[i], old[i], item) if i < known else item for i, item in enumerate(new)]
    return new


def _walk(path: str, old: Json, new: Json) -> dict[str, Change]:
    if old is None:
        return {path: Change.ADD}
    if new is None:
        return {path: Change.DELETE}
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(_join(path, key), key, old.get(key), new.get(key)) for key in {**old, **new}]
        return {
            where: change
            for below, key, before, after in pairs
            if not _same(before, after) and not (key in STRING_SETS and _same_set(before, after))
            for where, change in _walk(below, before, after).items()
        }
    if isinstance(old, list) and isinstance(new, list):
        changes: dict[str, Change] = {}
        for i in range(max(len(old), len(new))):
            before, after = (items[i] if i < len(items) else None for items in (old, new))
            if not _same(before, after):
                changes.update(_walk(f"{path}[{i}]", before, after))
        return changes
    return {path: Change.UPDATE}


def _join(path: str, key: str) -> str:
    if re.fullmatch(r"[A-Za-z_$][\w$]*", key):
        return f"{path}.{key}"
    escaped = key.replace('"', '\\"')
    return f'{path}["{escaped}"]'


def _same_top(name: str, old: Json, new: Json) -> bool:
    if isinstance(old, str) and isinstance(new, str):
        if name == "location":  # "West Europe" and "westeurope" are one
            return old.replace(" ", "").lower() == new.replace(" ", "").lower()
        if name == "resourceGroupName":
            return old.lower() == new.lower()
        if name == "scope":  # the vendor trims it in the path
            return old.strip("/") == new.strip("/")
    return _same(old, new)


def _same(old: Json, new: Json) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(item, new[name]) for name, item in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(a, b) for a, b in zip(old, new, strict=True))
    # True == 1 in Python, not in JSON.
    return isinstance(old, bool) == isinstance(new, bool) and old == new


def _same_set(old: Json, new: Json) -> bool:
    if not isinstance(old, list) or not isinstance(new, list):
        return False
    return sorted(str(item) for item in old) == sorted(str(item) for item in new)
