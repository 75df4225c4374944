r"""Tags as Azure takes them, counted with the stack's own. Pure.

Source: azure-docs tag-resources, limitations: at most 50 on a resource; a name has none of < > % & \ ? / and is the
same in any case; no name begins with azure, microsoft or windows. Lengths are in `specs.base.Tags`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from specs.base import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from specs.stack import StackSpec

Place: TypeAlias = tuple[str | int, ...]
MOST = 50
FORBIDDEN = "<>%&\\?/"
KEPT = ("azure", "microsoft", "windows")


def tag_faults(spec: StackSpec) -> list[Fault]:
    """List the tags that Azure would refuse."""
    faults = [fault for at, tags in _all(spec) for fault in _names(at, tags)]
    if len(spec.tags) > MOST:
        return [*faults, _too_many(("tags",), len(spec.tags), "")]
    for at, tags in _all(spec):
        count = len({name.lower() for name in (*spec.tags, *tags)})
        if count > MOST:
            faults.append(_too_many(at, count, f", the stack's {len(spec.tags)} among them"))
    return faults


def _all(spec: StackSpec) -> Iterator[tuple[Place, Mapping[str, str]]]:
    yield ("tags",), spec.tags
    for name, identity in spec.identities.items():
        yield ("identities", name, "tags"), identity.tags
    for name, workspace in spec.workspaces.items():
        yield ("workspaces", name, "tags"), workspace.tags
    for at, compute in spec.computes():
        yield (*at, "tags"), compute.tags


def _too_many(at: Place, count: int, whose: str) -> Fault:
    message = f"a resource has at most {MOST} tags; this would have {count}{whose}. Delete some."
    return Fault(at=at, message=message, rule="tag-count")


def _names(at: Place, tags: Mapping[str, str]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in tags:
        if bad := [character for character in FORBIDDEN if character in name]:
            message = f"a tag's name has none of {' '.join(FORBIDDEN)}; this has {' '.join(bad)}. Rename it."
            yield Fault(at=(*at, name), message=message, rule="tag-name", key=True)
        elif name.lower().startswith(KEPT):
            message = f"a tag's name does not begin with {', '.join(KEPT)}: Azure keeps those. Rename it."
            yield Fault(at=(*at, name), message=message, rule="tag-name", key=True)
        elif other := seen.get(name.lower()):
            message = f"is the tag {other} again (case does not count). Delete one."
            yield Fault(at=(*at, name), message=message, rule="tag-name", key=True)
        seen.setdefault(name.lower(), name)
