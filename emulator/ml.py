"""What every module of the workspace's data plane shares: the path, the workspace's document, the shape of an answer.

ARM ids here are spelt as the caller spelt them; the state compares them without case, as ARM does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.cloud import Cloud
    from emulator.routing import Call, Json

PROVIDER = "Microsoft.MachineLearningServices"
WORKSPACE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.MachineLearningServices/workspaces/{ws}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The workspace a call is about: its id as its document spells it, its properties."""

    id: str
    name: str
    properties: Mapping[str, Json]

    @property
    def guid(self) -> str:
        """The `workspaceId`, which names the default containers."""
        return text(self.properties.get("workspaceId")) or "00000000-0000-0000-0000-000000000000"

    @property
    def storage_id(self) -> str:
        """The ARM id of the workspace's storage account. Raises `Refusal` 400 when it has none."""
        account = text(self.properties.get("storageAccount"))
        if not account:
            raise Refusal(400, "ValidationError", f"The workspace '{self.name}' has no storage account.")
        return account


def workspace(call: Call) -> Workspace:
    """Return the workspace that the path names. Raises `Refusal` 404, or 403 when a private one is called from here."""
    sub, group, name = call.args["sub"], call.args["rg"], call.args["ws"]
    found = by_id(call.cloud, WORKSPACE.format(sub=sub, rg=group, ws=name))
    if found is None:
        message = f"The Resource '{PROVIDER}/workspaces/{name}' under resource group '{group}' was not found."
        raise Refusal(404, "ResourceNotFound", message)
    from emulator.resources.ml_workspace import require_reachable  # that module is built on this one

    require_reachable(call, call.cloud.state.get(found.id) or {})
    return found


def by_id(cloud: Cloud, id_: str) -> Workspace | None:
    """Return the workspace with this ARM id, or None."""
    document = cloud.state.get(id_)
    if document is None:
        return None
    return Workspace(text(document["id"]), text(document["name"]), obj(document.get("properties")))


def workspace_of(cloud: Cloud, resource_id: str) -> Workspace:
    """Return the workspace that a resource below it belongs to. Raises `Refusal` 404 when it is gone."""
    found = by_id(cloud, "/".join(resource_id.split("/")[:9]))
    if found is None:
        raise Refusal(404, "ResourceNotFound", f"The workspace of '{resource_id}' was not found.")
    return found


def entity(cloud: Cloud, id_: str, kind: str, properties: Mapping[str, Json]) -> dict[str, Json]:
    """Build an ARM document: id, name, type, systemData, properties. `kind` is the type below the workspace."""
    now = stamp(cloud.now())
    known = cloud.state.get(id_)
    system = obj(known.get("systemData")) if known else {}
    who: dict[str, Json] = {"createdAt": now, "createdBy": "Trainyard", "createdByType": "Application"}
    return {
        "id": id_,
        "name": id_.rpartition("/")[2],
        "type": f"{PROVIDER}/workspaces/{kind}",
        "properties": dict(properties),
        "systemData": {
            **(system or who),
            "lastModifiedAt": now,
            "lastModifiedBy": "Trainyard",
            "lastModifiedByType": "Application",
        },
    }


def missing(what: str, id_: str) -> Refusal:
    """Return the 404 of the workspace's own services."""
    return Refusal(404, "UserError", f"{what} '{id_.rpartition('/')[2]}' was not found: {id_}")


def stamp(moment: datetime) -> str:
    """Write a moment as Azure does: UTC, seven digits of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def moment(value: str) -> datetime:
    """Read a moment that `stamp` or the node supervisor wrote."""
    head, _, fraction = value.rstrip("Z").partition(".")
    digits = "".join(character for character in fraction if character.isdigit())[:6]
    base = datetime.fromisoformat(head[:19]).replace(tzinfo=UTC)
    return base.replace(microsecond=int(digits.ljust(6, "0")) if digits else 0)


def epoch(seconds: float) -> datetime:
    """Return the moment of a file's time stamp."""
    return datetime.fromtimestamp(seconds, UTC)


def http_date(stamp: str) -> str:
    """Write a moment as HTTP headers and blob listings do."""
    return format_datetime(moment(stamp), usegmt=True)


def obj(value: Json) -> dict[str, Json]:
    """Return the object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text(value: Json) -> str:
    """Return the string, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def items(value: Json) -> list[Json]:
    """Return the list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def texts(value: Json) -> dict[str, str]:
    """Return an object's members as strings; null members are left out."""
    return {
        key: member if isinstance(member, str) else str(member)
        for key, member in obj(value).items()
        if member is not None
    }
