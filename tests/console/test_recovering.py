from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from console import recovering
from engine.recover import Fact
from runtime.errors import RefusedError

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane

ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
GONE = Fact("forgotten", "ws", recovering.WORKSPACE, "forgot ws (Workspace): it is gone from the cloud", ID)


@dataclass
class Plane:
    """What recovery asks of a control plane."""

    cloud: str = "emulator"
    soft: bool = True
    error: RefusedError | None = None
    deleted: list[str] = field(default_factory=list)

    @property
    def access(self) -> SimpleNamespace:
        return SimpleNamespace(subscription_id="s", cloud=self.cloud)

    def find(self, _id: str, _api: str) -> None:
        return None

    def get(self, id_: str, api: str) -> dict[str, str]:
        if self.error:
            raise self.error
        return {"id": id_, "api": api}

    def list(self, collection: str, api: str) -> list[dict[str, str]]:
        if self.error:
            raise self.error
        return [{"id": collection, "api": api}]

    def delete(self, id_: str, api: str, query: dict[str, str]) -> bool:
        self.deleted.append(f"{id_}?{api}&{query}")
        return self.soft


def plane(found: Plane) -> ControlPlane:
    return cast("ControlPlane", found)


def test_a_stack_that_is_fine_has_one_line() -> None:
    assert recovering.lines([], "prod") == ["  nothing to recover"]


def test_facts_are_lines_and_the_last_says_what_to_type() -> None:
    assert recovering.lines([GONE], "prod") == [
        "  forgot ws (Workspace): it is gone from the cloud",
        "  next: invoke up --stack prod",
    ]


def test_a_workspace_that_a_dead_destroy_deleted_softly_in_the_emulator_is_purged() -> None:
    found = Plane()
    fact = recovering.still_named(plane(found), GONE, "local")
    assert fact == Fact("purged", "ws", recovering.WORKSPACE, "purged ws: the emulator had kept its name", ID)
    assert found.deleted == [f"{ID}?2025-12-01&{{'forceToPurge': 'true'}}"]
    assert recovering.still_named(plane(Plane(soft=False)), GONE, "local") is None


def test_in_azure_nothing_is_purged_and_the_name_is_pointed_out() -> None:
    found = Plane(cloud="azure")
    fact = recovering.still_named(plane(found), GONE, "prod")
    words = "Azure may keep the name ws for 14 days. If `up` says so: invoke purge --stack prod"
    assert (fact, found.deleted) == (Fact("named", "ws", recovering.WORKSPACE, words), [])


def test_what_is_not_there_is_told_from_what_this_account_does_not_see() -> None:
    there = recovering.seen_by(plane(Plane()))
    assert (there.find("/a", "1"), there.list("/a", "1")) == ({"id": "/a", "api": "1"}, [{"id": "/a", "api": "1"}])
    gone = recovering.seen_by(plane(Plane(error=RefusedError("gone", code="ResourceNotFound", status=404))))
    assert (gone.find("/a", "1"), gone.list("/a", "1")) == (None, [])
    for code, status in (("AuthorizationFailed", 403), ("SubscriptionNotFound", 404)):
        blind = recovering.seen_by(plane(Plane(error=RefusedError("not you", code=code, status=status))))
        with pytest.raises(RefusedError, match="not you"):
            blind.find("/a", "1")
        with pytest.raises(RefusedError, match="not you"):
            blind.list("/a", "1")
