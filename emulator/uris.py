"""Where a data-plane address points: a container and a prefix in it.

Understood: blob addresses of the emulator's own accounts (both styles), `azureml://datastores/...`, long-form
`azureml://subscriptions/...`, and asset ids of data and models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from emulator import accounts, ml
from emulator.blobstore import Where
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.cloud import Cloud
    from emulator.ml import Workspace

_DATASTORE = re.compile(
    r"azureml://(?:subscriptions/(?P<sub>[^/]+)/resource[gG]roups/(?P<rg>[^/]+)/"
    r"(?:providers/Microsoft\.MachineLearningServices/)?workspaces/(?P<ws>[^/]+)/)?"
    r"datastores/(?P<store>[^/]+)/(?:paths/)?(?P<path>.*)"
)
_ASSET = re.compile(r"(?:azureml:)?(?P<id>/subscriptions/.+/(?:data|models)/[^/]+/versions/[^/]+)", re.IGNORECASE)
_NAMED = re.compile(r"azureml:(?P<name>[^:/]+):(?P<version>[^:/]+)")
_HOST = re.compile(r"(?P<account>[a-z0-9]+)\.blob\.core\..+", re.IGNORECASE)
BLOBSTORE, ARTIFACTS = "workspaceblobstore", "workspaceartifactstore"


def resolve(cloud: Cloud, workspace: Workspace, uri: str) -> tuple[Where, str]:
    """Return the container and the prefix without slashes at its ends. Raises `Refusal` 400 naming the address."""
    if found := _DATASTORE.fullmatch(uri):
        _refuse_others(workspace, found, uri)
        return datastore(cloud, workspace, found["store"]), found["path"].strip("/")
    if found := _ASSET.fullmatch(uri):
        return resolve(cloud, workspace, _asset(cloud, found["id"]))
    if found := _NAMED.fullmatch(uri):
        for kind in ("data", "models"):
            id_ = f"{workspace.id}/{kind}/{found['name']}/versions/{found['version']}"
            if cloud.state.get(id_) is not None:
                return resolve(cloud, workspace, _asset(cloud, id_))
    parts = urlsplit(uri)
    if parts.scheme == "https":
        return _blob(cloud, parts.netloc, unquote(parts.path), uri)
    raise Refusal(400, "UserError", f"The address '{uri}' can't be resolved by this emulator.")


def _refuse_others(workspace: Workspace, found: re.Match[str], uri: str) -> None:
    """Refuse the datastore of another workspace, whose credentials this one hasn't got. Raises `Refusal` 400."""
    if found["ws"] is None:
        return
    named = ml.WORKSPACE.format(sub=found["sub"], rg=found["rg"], ws=found["ws"])
    if named.lower() != workspace.id.lower():
        text = f"'{uri}' is in the workspace '{found['ws']}': a job reaches the datastores of its own workspace alone."
        raise Refusal(400, "UserError", text)


def elsewhere(cloud: Cloud, uri: str) -> bool:
    """Tell whether this is an https address that is not the emulator's."""
    parts = urlsplit(uri)
    own = parts.netloc == cloud.origin.removeprefix("https://") or _HOST.fullmatch(parts.netloc) is not None
    return parts.scheme == "https" and not own


def datastore(cloud: Cloud, workspace: Workspace, name: str) -> Where:
    """Return a datastore's container, made on first use for the workspace's own two. Raises `Refusal` 400."""
    document = cloud.state.get(f"{workspace.id}/datastores/{name}")
    own = {BLOBSTORE: f"azureml-blobstore-{workspace.guid}", ARTIFACTS: "azureml"}
    if document is not None:
        properties = ml.obj(document["properties"])
        account = accounts.named(cloud, ml.text(properties.get("accountName")))
        container = ml.text(properties.get("containerName"))
    elif name in own:
        account, container = accounts.by_id(cloud, workspace.storage_id), own[name]
    else:
        raise Refusal(400, "UserError", f"The datastore '{name}' was not found in the workspace '{workspace.name}'.")
    if account is None:
        raise Refusal(400, "UserError", f"The storage account of the datastore '{name}' does not exist.")
    if name in own:
        accounts.ensure_container(cloud, account, container)
    return Where(account, container)


def _asset(cloud: Cloud, id_: str) -> str:
    document = cloud.state.get(id_)
    properties = ml.obj(document["properties"]) if document else {}
    uri = ml.text(properties.get("dataUri") or properties.get("modelUri"))
    if not uri:
        raise Refusal(400, "UserError", f"The asset '{id_}' was not found.")
    return uri


def _blob(cloud: Cloud, host: str, path: str, uri: str) -> tuple[Where, str]:
    first, _, rest = path.lstrip("/").partition("/")
    found = _HOST.fullmatch(host)
    if found:
        name, container, prefix = found["account"], first, rest
    elif first.endswith(".blob") and host == cloud.origin.removeprefix("https://"):
        container, _, prefix = rest.partition("/")
        name = first.removesuffix(".blob")
    else:
        raise Refusal(400, "UserError", f"'{uri}' is outside this emulator, which fetches nothing from elsewhere.")
    account = accounts.named(cloud, name)
    if account is None:
        raise Refusal(400, "UserError", f"The storage account of '{uri}' does not exist.")
    return Where(account, container), prefix.strip("/")
