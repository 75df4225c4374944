"""An ARM template of a stack's planned resources. Pure: from what the components ask for to what scanners read.

Ids that only Azure gives are ARM expressions; secrets are parameters of type secureString. Bodies are made by the same
table with which the emulator's provider speaks ARM. `console/export.py` finds out what the components ask for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.provider import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from emulator.provider.table import ResourceType
    from emulator.routing import Json

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
"""azure-docs azure-resource-manager/templates/syntax: of a template for one resource group."""
ROLE = "Microsoft.Authorization/roleAssignments"
GROUP = "Microsoft.Resources/resourceGroups"


@dataclass(frozen=True, slots=True)
class Planned:
    """One resource that the components ask for."""

    row: ResourceType
    inputs: dict[str, Json]
    id: str
    """ARM id."""
    after: tuple[str, ...]
    """Ids of what must stand before."""


@dataclass(slots=True)
class Standins:
    """Texts that stand for what only Azure knows, with the ARM expressions that they become."""

    expressions: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    """Parameters of the template: name to type."""

    def parameter(self, name: str, kind: str) -> str:
        """Declare a parameter; return the expression that reads it."""
        known = re.sub(r"\W+", "_", name)
        self.parameters[known] = kind
        return f"parameters('{known}')"

    def rendered(self, text: str) -> str:
        """Write a text with its stand-ins as an ARM expression, or as it is; a literal's first `[` is doubled."""
        pieces = list(self._pieces(text))
        if all(is_literal for _, is_literal in pieces):
            return f"[{text}" if text.startswith("[") else text
        terms = [_quoted(piece) if is_literal else piece for piece, is_literal in pieces]
        return f"[{terms[0]}]" if len(terms) == 1 else f"[concat({', '.join(terms)})]"

    def _pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """Cut a text into expressions and literals. The longest stand-in comes first: ids begin with others' ids."""
        known = sorted(self.expressions, key=len, reverse=True)
        if not known or not text:
            yield text, True
            return
        # An id ends where its last segment does: `…/vnet` is not the beginning of `…/vnet2`.
        pattern = rf"({'|'.join(map(re.escape, known))})(?![\w.-])"
        for piece in re.split(pattern, text):
            if piece in self.expressions:
                yield self.expressions[piece], False
            elif piece:
                yield piece, True

    def everywhere(self, value: Json) -> Json:
        """Render every text in a value, keys too: the identities of a resource are keys."""
        if isinstance(value, dict):
            return {self.rendered(key): self.everywhere(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.everywhere(item) for item in value]
        return self.rendered(value) if isinstance(value, str) else value


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def type_and_name(arm_id: str) -> tuple[str, str]:
    """Return a resource's type and its name, each with what is above it: `…/workspaces/computes`, `research/gpu`."""
    if "/providers/" not in arm_id:
        return GROUP, arm_id.rpartition("/")[2]
    namespace, *rest = arm_id.rpartition("/providers/")[2].split("/")
    return "/".join([namespace, *rest[::2]]), "/".join(rest[1::2])


def own_id(arm_id: str, home: str) -> str | None:
    """Return the expression for the id of a resource in `home`, the template's group, or of one that extends another.

    None for any other: its id is a literal.
    """
    kind, name = type_and_name(arm_id)
    if kind == GROUP:
        return "resourceGroup().id"
    names = ", ".join(_quoted(part) for part in (kind, *name.split("/")))
    scope = arm_id.rpartition("/providers/")[0]
    if "/providers/" in scope:
        return f"extensionResourceId({own_id(scope, home) or _quoted(scope)}, {names})"
    return f"resourceId({names})" if scope.lower() == home.lower() else None


def template(planned: Sequence[Planned], standins: Standins, group: str, about: str) -> dict[str, Json]:
    """Build the template of one resource group; the group itself, which is deployed into, is left out."""
    inside = [item for item in planned if type_and_name(item.id)[0] != GROUP]
    ids = {item.id for item in inside}
    resources: list[Json] = [_resource(item, ids, standins, group) for item in inside]
    parameters: dict[str, Json] = {name: {"type": kind} for name, kind in sorted(standins.parameters.items())}
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "metadata": {"description": about},
        "parameters": parameters,
        "resources": resources,
    }


def _resource(item: Planned, ids: set[str], standins: Standins, group: str) -> Json:
    kind, name = type_and_name(item.id)
    body = standins.everywhere(wire.body(item.row, item.inputs))
    made: dict[str, Json] = {"type": kind, "apiVersion": item.row.api_version, "name": standins.rendered(name)}
    made |= _where(item, kind, standins, group)
    if isinstance(body, dict):
        made |= body
    if after := sorted({standins.rendered(id_) for id_ in item.after if id_ in ids}):
        made["dependsOn"] = [*after]
    return made


def _where(item: Planned, kind: str, standins: Standins, group: str) -> Mapping[str, Json]:
    """Say where a resource is, if that is not simply the group."""
    if kind == ROLE:
        scope = str(item.inputs["scope"])
        return {"scope": standins.rendered(scope)} if "/providers/" in scope else {}
    other = item.inputs.get("resourceGroupName", group)
    return {} if other == group else {"comments": standins.rendered(f"In the resource group {other}")}
