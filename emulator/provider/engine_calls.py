"""Create, Read, Update, Delete, Check and Diff as plain functions of JSON: what `service` says in protobuf.

The order of requests is the vendor's (pulumi-azure-native, provider.go and crud.go).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.provider import check, wire
from emulator.provider.arm_client import NOT_FOUND, ArmError
from emulator.provider.diff import patch

if TYPE_CHECKING:
    from emulator.provider.arm_client import ArmClient, Call
    from emulator.provider.settings import Settings
    from emulator.provider.table import ResourceType
    from emulator.routing import Json

GROUPS_VERSION = "2020-10-01"
"""The api-version with which the vendor looks up a resource group's location."""


class PartialError(Exception):
    """The service accepted the resource and then failed: it exists, and the engine has to remember it."""

    def __init__(self, reason: str, id_: str, outputs: dict[str, Json]) -> None:
        super().__init__(reason)
        self.id, self.outputs = id_, outputs


@dataclass(slots=True)
class Session:
    """One engine's connection: its settings and its client. The client is shared by engines with equal settings."""

    settings: Settings
    arm: ArmClient
    _locations: dict[str, str] = field(default_factory=dict)

    def locate(self, group: str) -> str | None:
        """Return where a resource goes that names no location, or None: then the required location is missing."""
        if self.settings.location:
            return self.settings.location
        if not group:
            return None
        if group not in self._locations:
            id_ = f"/subscriptions/{self.settings.subscription_id}/resourceGroups/{group}"
            try:
                self._locations[group] = str(self.arm.get(id_, GROUPS_VERSION)["location"])
            except (ArmError, KeyError):
                return None
        return self._locations[group]

    def check(
        self, row: ResourceType, olds: dict[str, Json], news: dict[str, Json], naming: check.Naming
    ) -> tuple[dict[str, Json], list[str]]:
        """Return the inputs with defaults, and what is wrong with them."""
        inputs = check.with_defaults(row, olds, news, naming, self.locate)
        return inputs, check.failures(row, inputs)

    def create(self, row: ResourceType, inputs: dict[str, Json], call: Call) -> tuple[str, dict[str, Json]]:
        """Make the resource; returns its id and outputs. Raises `ArmError`, `PartialError`, `ValueError`."""
        id_ = wire.resource_path(row.path, self.settings.subscription_id, inputs)
        self.arm.ensure_absent(id_, row.api_version, call)
        return self._put(row, id_, wire.maintained(row, wire.body(row, inputs), None), call)

    def update(self, row: ResourceType, inputs: dict[str, Json], call: Call) -> dict[str, Json]:
        """Overwrite the resource; lists of sub-resources that the inputs don't give are kept. Returns the outputs."""
        id_ = wire.resource_path(row.path, self.settings.subscription_id, inputs)
        body = wire.body(row, inputs)
        if row.maintain:
            body = wire.maintained(row, body, self.arm.get(id_, row.api_version, call))
        return self._put(row, id_, body, call)[1]

    def read(
        self, row: ResourceType, id_: str, inputs: dict[str, Json], state: dict[str, Json]
    ) -> tuple[dict[str, Json], dict[str, Json]] | None:
        """Return (inputs, outputs) as they are in the cloud, or None when it is gone. No inputs: an import."""
        try:
            outputs = wire.outputs(row, self.arm.get(id_, row.api_version))
        except ArmError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        if not inputs:
            return wire.imported(row, id_, outputs), outputs
        # What others own below this resource must not become an input; it may stand in the old state as well.
        before = wire.projection(row, wire.unowned(row, inputs, state))
        after = wire.projection(row, wire.unowned(row, inputs, outputs))
        patched = patch(inputs, before, after)
        return patched if isinstance(patched, dict) else inputs, outputs

    def delete(self, row: ResourceType, id_: str, state: dict[str, Json], call: Call) -> None:
        """Delete the resource; one that is gone already is no error. `state` is its outputs."""
        query = {
            name: rule.get(str(wire.find(state, rule["by"])), rule["otherwise"])
            for name, rule in row.delete_query.items()
        }
        self.arm.delete(id_, {"api-version": row.api_version, **query}, call)

    def _put(self, row: ResourceType, id_: str, body: dict[str, Json], call: Call) -> tuple[str, dict[str, Json]]:
        try:
            answer = self.arm.put(id_, row.api_version, body, call)
        except ArmError as error:
            if not error.accepted:
                raise
            raise PartialError(str(error), id_, self._what_is_there(row, id_, {})) from error
        id_ = str(answer.get("id") or id_)
        return id_, self._what_is_there(row, id_, answer)

    def _what_is_there(self, row: ResourceType, id_: str, answer: dict[str, Json]) -> dict[str, Json]:
        # A GET's body, because refresh compares with GETs; the PUT's own answer where that fails (readAfterWrite).
        try:
            return wire.outputs(row, self.arm.get(id_, row.api_version))
        except ArmError:
            return wire.outputs(row, answer) if answer else {}
