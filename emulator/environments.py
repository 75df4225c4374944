"""Environment assets: an image or a Docker build, with or without a conda file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import assets
from emulator.assets import Kind

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Route

KIND = Kind(
    "environments",
    "Environment",
    fixed=("image", "build", "condaFile", "osType"),
    defaults={"environmentType": "UserCreated", "osType": "Linux", "autoRebuild": "Disabled"},
)


def routes() -> list[Route]:
    """Return the rows of the table."""
    return assets.routes(KIND)


def resolve(cloud: Cloud, workspace: Workspace, id_: str) -> str | None:
    """Return the id of a version that is there for an id of a version or of the label `latest`, or None."""
    head, _, label = id_.rpartition("/labels/")
    if head and label.lower() == "latest":
        found = assets.latest(cloud, workspace, KIND, head.rpartition("/")[2])
        return str(found["id"]) if found else None
    document = cloud.state.get(id_)
    return str(document["id"]) if document and "/versions/" in id_ else None
