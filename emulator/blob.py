"""Plays Azure's blob service: the verbs that azure-storage-blob and azure-ai-ml send, up to version 2026-10-06.

An account answers under its own host `https://{account}.blob.core.localhost:PORT/{container}/{blob}` and, where names
below `localhost` don't resolve (glibc alone), under `https://localhost:PORT/{account}.blob/{container}/{blob}`. The
second can't be mistaken for an ARM path. Leases, snapshots, versions, tags and page blobs are not played: 501.
"""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import accounts, blob_list, blobstore, live, ml, shared_access
from emulator.blobstore import Blob, Where
from emulator.routing import Answer, Refusal, Route
from emulator.shared_access import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from emulator.cloud import Cloud
    from emulator.routing import Call

HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})\.blob\.core\.localhost(:\d+)?", re.IGNORECASE)
WHOLE = 16 * 1024 * 1024
"""A slice up to this many bytes is answered from memory; a whole file that is larger is streamed."""
CONTAINER_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def routes() -> list[Route]:
    """Return the rows of the table. Each call proves its right itself, so no route asks for a bearer token."""
    row = partial(Route, auth=False, api_version=False)
    blob, container = "/{account}.blob/{container}/{blob*}", "/{account}.blob/{container}"
    return [
        row("PUT", blob, _service(_put)),
        row("HEAD", blob, _service(_get)),
        row("GET", blob, _service(_get)),
        row("DELETE", blob, _service(_delete)),
        row("PUT", container, _service(_put_container)),
        row("GET", container, _service(_get_container)),
        row("HEAD", container, _service(_get_container)),
        row("DELETE", container, _service(_delete_container)),
        row("GET", "/{account}.blob", _service(_list_containers)),
    ]


def path_for(host: str, path: str) -> str | None:
    """Return the routed path of a request to an account's own host, or None when `host` is not one."""
    found = HOST.fullmatch(host)
    return f"/{found['account'].lower()}.blob{path}" if found else None


def url(cloud: Cloud, where: Where, name: str = "") -> str:
    """Return the address of a container or blob that resolves on every machine."""
    base = f"{cloud.origin}/{where.account.name}.blob/{where.container}"
    return f"{base}/{name}" if name else base


def _service(handler: Callable[[Call, Target], Answer]) -> Callable[[Call], Answer]:
    """Wrap a handler: find the account, add the service's headers, answer refusals as XML."""

    def handle(call: Call) -> Answer:
        headers = {"x-ms-version": call.headers.get("x-ms-version", shared_access.VERSION)}
        headers |= {"x-ms-request-id": str(uuid4()), "Server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"}
        if "x-ms-client-request-id" in call.headers:
            headers["x-ms-client-request-id"] = call.headers["x-ms-client-request-id"]
        try:
            answer = handler(call, _target(call))
        except Refusal as refusal:
            return _refused(call, refusal, headers)
        return Answer(answer.status, answer.body, {**headers, **answer.headers})

    return handle


def _target(call: Call) -> Target:
    account = accounts.named(call.cloud, call.args["account"])
    if account is None:
        raise Refusal(404, "ResourceNotFound", f"The storage account '{call.args['account']}' does not exist.")
    if not account.public:  # "Configure Azure Storage firewalls and virtual networks": this machine is in no network
        raise Refusal(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
    return Target(account, call.args.get("container", ""), call.args.get("blob", ""))


def _refused(call: Call, refusal: Refusal, headers: Mapping[str, str]) -> Answer:
    root = ET.Element("Error")
    ET.SubElement(root, "Code").text = refusal.code
    ET.SubElement(root, "Message").text = refusal.message
    empty = call.method == "HEAD" or refusal.status == HTTPStatus.NOT_MODIFIED
    body = b"" if empty else ET.tostring(root, encoding="utf-8", xml_declaration=True)
    named = {"x-ms-error-code": refusal.code, "Content-Type": "application/xml", **refusal.headers}
    return Answer(refusal.status, body, {**headers, **named})


def _where(call: Call, target: Target, needed: Sequence[str]) -> Where:
    """Check the right (any of these letters) and that the container exists."""
    granted = shared_access.authorize(call, target)
    if granted.isdisjoint(needed):
        text = "This request is not authorized to perform this operation using this permission."
        raise Refusal(403, "AuthorizationPermissionMismatch", text)
    where = Where(target.account, target.container)
    if call.cloud.state.get(where.id) is None:
        raise Refusal(404, "ContainerNotFound", "The specified container does not exist.")
    return where


def _find(call: Call, where: Where, name: str) -> Blob:
    blob = blobstore.get(call.cloud, where, name) or live.blob(call.cloud, where, name)
    if blob is None:
        raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")
    return blob


def _put(call: Call, target: Target) -> Answer:
    """Play Put Blob, Put Block, Put Block List and Set Blob Metadata (Blob service REST)."""
    match call.query.get("comp", ""):
        case "":
            return _put_blob(call, target)
        case "block":
            return _put_block(call, target)
        case "blocklist":
            return _put_block_list(call, target)
        case "metadata":
            where = _where(call, target, "w")
            changed = blobstore.put_metadata(call.cloud, where, target.blob, _metadata(call))
            if changed is None:
                raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")
            return Answer(200, b"", _stamps(changed))
        case other:
            raise Refusal(501, "NotImplemented", f"PUT comp={other} on a blob is not played by this emulator.")


def _put_blob(call: Call, target: Target) -> Answer:
    """Play Put Blob. `If-None-Match: *` creates only; the right `c` alone doesn't overwrite."""
    kind = call.headers.get("x-ms-blob-type", "")
    if kind != "BlockBlob":
        raise Refusal(501, "NotImplemented", f"x-ms-blob-type '{kind}' is not played by this emulator: only BlockBlob.")
    where = _writable(call, target)
    _check_md5(call)
    content = blobstore.stage(call.cloud, [call.body])
    return _store(call, where, target.blob, content)


def _writable(call: Call, target: Target) -> Where:
    where = _where(call, target, "cw")
    exists = blobstore.get(call.cloud, where, target.blob)
    if exists and call.headers.get("if-none-match") == "*":
        raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
    wanted = call.headers.get("if-match", "*")
    if wanted != "*" and (exists is None or exists.etag != wanted):
        raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
    if exists and "w" not in shared_access.authorize(call, target):
        text = "This request is not authorized to perform this operation using this permission."
        raise Refusal(403, "UnauthorizedBlobOverwrite", text)
    return where


def _store(call: Call, where: Where, name: str, content: blobstore.Content) -> Answer:
    kind = call.headers.get("x-ms-blob-content-type", "")
    with call.cloud.state.transaction():
        if call.headers.get("if-none-match") == "*" and blobstore.get(call.cloud, where, name):
            raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
        blob = blobstore.put(call.cloud, where, name, content, kind, _metadata(call))
    return Answer(201, b"", {**_stamps(blob), "Content-MD5": blob.md5, "x-ms-request-server-encrypted": "true"})


def _put_block(call: Call, target: Target) -> Answer:
    """Play Put Block."""
    where = _where(call, target, "cw")
    _check_md5(call)
    block = call.query.get("blockid", "")
    if not block:
        raise Refusal(400, "MissingRequiredQueryParameter", "A required query parameter 'blockid' was not specified.")
    content = blobstore.stage(call.cloud, [call.body])
    blobstore.put_block(call.cloud, where, target.blob, block, content)
    return Answer(201, b"", {"Content-MD5": content.md5, "x-ms-request-server-encrypted": "true"})


def _put_block_list(call: Call, target: Target) -> Answer:
    """Play Put Block List: uncommitted (`Latest`, `Uncommitted`) blocks only."""
    where = _writable(call, target)
    names = re.findall(rb"<(Latest|Uncommitted|Committed)>([^<]*)</", call.body)
    if any(kind == b"Committed" for kind, _ in names):
        raise Refusal(501, "NotImplemented", "Committed blocks in a block list are not played by this emulator.")
    content = blobstore.commit_blocks(call.cloud, where, target.blob, [name.decode() for _, name in names])
    if content is None:
        raise Refusal(400, "InvalidBlockList", "The specified block list is invalid.")
    return _store(call, where, target.blob, content)


def _get(call: Call, target: Target) -> Answer:
    """Play Get Blob and Get Blob Properties."""
    where = _where(call, target, "r")
    if call.query.get("comp", "") not in {"", "metadata"}:
        raise Refusal(501, "NotImplemented", f"comp={call.query['comp']} on a blob is not played by this emulator.")
    blob = _find(call, where, target.blob)
    _conditions(call, blob)
    headers = _properties(blob)
    if call.method == "HEAD" or call.query.get("comp") == "metadata":
        length = blob.size if call.method == "HEAD" else 0
        return Answer(200, b"", {**headers, "Content-Length": str(length)})
    wanted = call.headers.get("x-ms-range") or call.headers.get("range")
    span = _span(wanted, blob.size) if wanted else None
    if span is None:
        return Answer(200, blob.path if blob.size > WHOLE else _slice(call, where, blob, 0, blob.size - 1), headers)
    first, last = span
    data = _slice(call, where, blob, first, last)
    headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
    if whole := headers.pop("Content-MD5", ""):
        headers["x-ms-blob-content-md5"] = whole
    if call.headers.get("x-ms-range-get-content-md5") == "true":
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return Answer(206, data, headers)


def _slice(call: Call, where: Where, blob: Blob, first: int, last: int) -> bytes:
    path = blob.path
    if blob.kind == "AppendBlob" and not path.is_file():
        # The run was collected since the blob was found: its bytes are in the store now.
        path = _find(call, where, blob.name).path
    with path.open("rb") as file:
        file.seek(first)
        return file.read(last - first + 1)


def _span(wanted: str, size: int) -> tuple[int, int] | None:
    """Read a range header: first and last byte. None for a form that HTTP says to ignore. Raises `Refusal` 416."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted.strip())
    if found is None:
        return None
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if last < first and found[2]:
        return None
    if first >= size:
        text = "The range specified is invalid for the current size of the resource."
        raise Refusal(416, "InvalidRange", text, headers={"Content-Range": f"bytes */{size}"})
    return first, min(last, size - 1, first + WHOLE * 4 - 1)


def _conditions(call: Call, blob: Blob) -> None:
    if call.headers.get("if-match", "*") not in {"*", blob.etag}:
        raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
    if call.headers.get("if-none-match", "") in {"*", blob.etag}:
        raise Refusal(304, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def _delete(call: Call, target: Target) -> Answer:
    """Play Delete Blob."""
    where = _where(call, target, "d")
    if not blobstore.delete(call.cloud, where, target.blob):
        raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")
    return Answer(202, b"", {"x-ms-delete-type-permanent": "true"})


def _put_container(call: Call, target: Target) -> Answer:
    """Play Create Container; a container's own signature can't create it."""
    _container_call(call)
    if "*" not in shared_access.authorize(call, target):
        text = "This request is not authorized to perform this operation using this permission."
        raise Refusal(403, "AuthorizationPermissionMismatch", text)
    if not CONTAINER_NAME.fullmatch(target.container):
        raise Refusal(400, "InvalidResourceName", "The specified resource name contains invalid characters.")
    if not accounts.ensure_container(call.cloud, target.account, target.container):
        raise Refusal(409, "ContainerAlreadyExists", "The specified container already exists.")
    return Answer(201, b"", _container_stamps(call, Where(target.account, target.container)))


def _get_container(call: Call, target: Target) -> Answer:
    """Play List Blobs (`comp=list`) and Get Container Properties."""
    _container_call(call)
    if call.method == "GET" and call.query.get("comp") == "list":
        where = _where(call, target, "l")
        body = blob_list.blobs(call, where)
        return Answer(200, body, {"Content-Type": "application/xml"})
    where = _where(call, target, "*")
    return Answer(200, b"", _container_stamps(call, where))


def _delete_container(call: Call, target: Target) -> Answer:
    """Play Delete Container."""
    _container_call(call)
    where = _where(call, target, "*")
    call.cloud.state.delete_tree(where.id)
    return Answer(202, b"")


def _list_containers(call: Call, target: Target) -> Answer:
    """Play List Containers."""
    if call.query.get("comp") != "list":
        raise Refusal(501, "NotImplemented", "Only comp=list is played on the account.")
    if "*" not in shared_access.authorize(call, target):
        raise Refusal(403, "AuthorizationPermissionMismatch", "This request is not authorized to list containers.")
    return Answer(200, blob_list.containers(call, target.account), {"Content-Type": "application/xml"})


def _container_call(call: Call) -> None:
    if call.query.get("restype") != "container" or call.query.get("comp", "list") != "list":
        text = f"{call.method} on a container with these parameters is not played by this emulator."
        raise Refusal(501, "NotImplemented", text)


def _container_stamps(call: Call, where: Where) -> dict[str, str]:
    document = call.cloud.state.get(where.id) or {}
    changed = ml.text(ml.obj(document.get("properties")).get("lastModifiedTime")) or ml.stamp(call.cloud.now())
    return {"ETag": ml.text(document.get("etag")), "Last-Modified": ml.http_date(changed), "Content-Length": "0"}


def _check_md5(call: Call) -> None:
    given = call.headers.get("content-md5")
    if given and base64.b64encode(hashlib.md5(call.body, usedforsecurity=False).digest()).decode() != given:
        text = "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
        raise Refusal(400, "Md5Mismatch", text)


def _metadata(call: Call) -> dict[str, str]:
    start = "x-ms-meta-"
    return {name[len(start) :]: value for name, value in call.headers.items() if name.lower().startswith(start)}


def _stamps(blob: Blob) -> dict[str, str]:
    return {"ETag": blob.etag, "Last-Modified": ml.http_date(blob.modified)}


def _properties(blob: Blob) -> dict[str, str]:
    headers = {
        **_stamps(blob),
        "Content-Type": blob.content_type,
        "Accept-Ranges": "bytes",
        "x-ms-blob-type": blob.kind,
        "x-ms-creation-time": ml.http_date(blob.created),
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
        **{f"x-ms-meta-{name}": value for name, value in blob.metadata.items()},
    }
    return {**headers, "Content-MD5": blob.md5} if blob.md5 else headers
