"""Environment assets: an image or a Docker build, with or without a conda file.

Every Azure workspace also has Microsoft's curated environments, named `AzureML-…`. Those that this machine has a
stand-in for are there too, made when they are first asked for by name; which versions Azure has is not known here, so
any version is, and the newest is `1` until another was asked for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from emulator import assets, ml
from emulator.assets import Kind
from node import conda

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.ml import Workspace
    from emulator.routing import Answer, Call, Handler, Json, Route

KIND = Kind(
    "environments",
    "Environment",
    fixed=("image", "build", "condaFile", "osType"),
    defaults={"environmentType": "UserCreated", "osType": "Linux", "autoRebuild": "Disabled"},
)
CURATED = "azureml-"
SHORT = re.compile(r"azureml:(?P<name>AzureML-[\w.-]+)(?::(?P<version>[\w.-]+)|@latest)?", re.IGNORECASE)
"""azure-ai-ml 1.35.2 sends a curated name as it was written and leaves it to the service."""


def routes() -> list[Route]:
    """Return the rows of the table; whoever asks for a curated environment finds it."""
    return [
        replace(route, handler=partial(_curated_first, route.handler))
        if route.method == "GET" and "{name}" in route.pattern
        else route
        for route in assets.routes(KIND)
    ]


def _curated_first(handler: Handler, call: Call) -> Answer:
    _curated(call.cloud, ml.workspace(call), call.args["name"], call.args.get("version"))
    return handler(call)


def _curated(cloud: Cloud, workspace: Workspace, name: str, version: str | None) -> None:
    """Make a version of a curated environment (None: some version) if there is none and a stand-in is known."""
    named = all(assets.NAME.fullmatch(word) for word in (name, version or "1"))
    if not named or not name.lower().startswith(CURATED) or conda.substitute(name) is None:
        return
    container = f"{workspace.id}/{KIND.collection}/{name}"
    id_ = f"{container}/versions/{version or '1'}"
    with cloud.state.transaction():
        if cloud.state.get(id_) or (version is None and assets.latest(cloud, workspace, KIND, name)):
            return
        if cloud.state.get(container) is None:
            assets.keep_container(cloud, container, KIND, {"description": "A curated environment"})
        image = f"mcr.microsoft.com/azureml/curated/{name.lower()}:{version or '1'}"
        own: dict[str, Json] = {"image": image, "environmentType": "Curated", "isAnonymous": False, "isArchived": False}
        common: dict[str, Json] = {"description": None, "tags": {}, "properties": {}, "provisioningState": "Succeeded"}
        document = ml.entity(cloud, id_, f"{KIND.collection}/versions", {**KIND.defaults, **common, **own})
        cloud.state.put(id_, document, "asset")


def resolve(cloud: Cloud, workspace: Workspace, id_: str) -> str | None:
    """Return the id of a version that is there for an id of a version or of the label `latest`, or None."""
    if short := SHORT.fullmatch(id_):
        base = f"{workspace.id}/{KIND.collection}/{short['name']}"
        id_ = f"{base}/versions/{short['version']}" if short["version"] else f"{base}/labels/latest"
    if id_.lower().startswith(f"{workspace.id}/{KIND.collection}/".lower()):
        name, _, rest = id_[len(f"{workspace.id}/{KIND.collection}/") :].partition("/")
        _curated(cloud, workspace, name, rest.removeprefix("versions/") if rest.startswith("versions/") else None)
    head, _, label = id_.rpartition("/labels/")
    if head and label.lower() == "latest":
        found = assets.latest(cloud, workspace, KIND, head.rpartition("/")[2])
        return str(found["id"]) if found else None
    document = cloud.state.get(id_)
    return str(document["id"]) if document and "/versions/" in id_ else None
