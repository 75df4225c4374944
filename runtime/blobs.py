"""Blob storage, as far as runs and models need it: put, list, read, over our own HTTPS.

Not azure-storage-blob: importing it costs 0.38 s, which alone is more than a whole submission here. Service version
2021-12-02: Put Blob, Put Block, Put Block List, List Blobs, Get Blob with a range.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from runtime import wire
from runtime.access import STORAGE_SCOPE
from runtime.control_plane import refusal
from runtime.errors import RefusedError
from runtime.transport import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runtime.control_plane import ControlPlane

VERSION = "2021-12-02"
DATASTORES = "2024-10-01-preview"
"""Microsoft.MachineLearningServices: Datastores_Get, Datastores_ListSecrets."""
PARALLEL = 8
BLOCK = 16 << 20
NO_SUCH_RANGE, NOT_FOUND, FORBIDDEN, BAD_REQUEST = 416, 404, 403, 400


@dataclass(frozen=True, slots=True)
class Place:
    """A container and the right to it: a signature, or (None) our own identity."""

    url: str
    signature: str | None = field(repr=False)

    def blob(self, name: str) -> str:
        """Return the address of a blob, with the signature."""
        return _signed(f"{self.url}/{quote(name, safe='/')}", self.signature)


class Source(NamedTuple):
    """Something to put: its name in the container, and its content, read when it is sent."""

    name: str
    read: Callable[[], Iterable[bytes]]


class Blob(NamedTuple):
    """Something found."""

    name: str
    size: int
    etag: str = ""


def upload(
    plane: ControlPlane, place: Place, sources: Sequence[Source], on_sent: Callable[[int], None] | None = None
) -> int:
    """Put everything, several at a time; return the bytes sent. Repeating it is harmless.

    `on_sent` gets the bytes of each finished file. Raises the first failure; what was put before stays.
    """

    def one(source: Source) -> int:
        size = put(plane, place, source)
        if on_sent:
            on_sent(size)
        return size

    if len(sources) == 1:
        return one(sources[0])
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="upload") as pool:
        return sum(pool.map(one, sources))


def put(plane: ControlPlane, place: Place, source: Source) -> int:
    """Put one blob: in one request, or in blocks of 16 MiB when it is larger. Each request carries its MD5."""
    url, ids, total = place.blob(source.name), list[str](), 0
    held = b""
    for block in _blocks(source.read()):
        total += len(block)
        if held:
            ids.append(_put_block(plane, url, len(ids), held, place.signature))
        held = block
    if not ids:
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        _send(plane, Request("PUT", url, {**headers, **_md5(held)}, held), place.signature)
        return total
    ids.append(_put_block(plane, url, len(ids), held, place.signature))
    listed = "".join(f"<Latest>{name}</Latest>" for name in ids)
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
    _send(plane, Request("PUT", f"{url}{_and(url)}comp=blocklist", _md5(body), body), place.signature)
    return total


def _blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for chunk in content:
        held += chunk
        while len(held) > BLOCK:
            yield bytes(held[:BLOCK])
            del held[:BLOCK]
    if held:
        yield bytes(held)


def _put_block(plane: ControlPlane, url: str, number: int, block: bytes, signature: str | None) -> str:
    name = base64.b64encode(f"{number:08}".encode()).decode()
    address = f"{url}{_and(url)}comp=block&blockid={quote(name, safe='')}"
    _send(plane, Request("PUT", address, _md5(block), block), signature)
    return name


def listing(plane: ControlPlane, place: Place, prefix: str) -> list[Blob]:
    """List the blobs whose names start so, every page."""
    found, marker = list[Blob](), ""
    while True:
        query = {"restype": "container", "comp": "list", "prefix": prefix, **({"marker": marker} if marker else {})}
        url = _signed(f"{place.url}?{urlencode(query)}", place.signature)
        root = _xml(_send(plane, Request("GET", url), place.signature).body)
        for item in root.iter("Blob"):
            size = item.findtext("Properties/Content-Length") or "0"
            etag = item.findtext("Properties/Etag") or ""
            found.append(Blob(item.findtext("Name") or "", int(size) if size.isdigit() else 0, etag))
        marker = root.findtext("NextMarker") or ""
        if not marker:
            return found


def read(plane: ControlPlane, url: str, offset: int, length: int = BLOCK, *, signed: bool = True) -> bytes | None:
    """Read bytes of a blob from an offset on; empty at its end, None when it isn't there (yet).

    Raises `RefusedError`, with status 403 when the signature has expired.
    """
    headers = {"x-ms-version": VERSION, "x-ms-range": f"bytes={offset}-{offset + length - 1}"}
    answer = plane.exchange(Request("GET", url, headers), scope=None if signed else STORAGE_SCOPE)
    if answer.status == NO_SUCH_RANGE:
        return b""
    if answer.status == NOT_FOUND:
        return None
    body = _checked(answer).body
    # A server that ignores ranges sends everything.
    return body if "content-range" in answer.headers or not offset else body[offset:]


def content(plane: ControlPlane, place: Place, name: str) -> Iterator[bytes]:
    """Yield a blob's content. Raises `RefusedError` when it isn't there."""
    offset, url = 0, place.blob(name)
    while chunk := read(plane, url, offset, signed=place.signature is not None):
        yield chunk
        offset += len(chunk)
        if len(chunk) < BLOCK:
            return
    if chunk is None:
        raise RefusedError(f"the blob {name} is gone", code="BlobNotFound", status=NOT_FOUND)


def datastore(plane: ControlPlane, workspace_id: str, name: str) -> Place:
    """Return a datastore's container with a right to it: its SAS, one signed with its key, or our own identity."""
    path = f"{workspace_id}/datastores/{name}"
    properties = wire.obj(plane.get(path, DATASTORES).get("properties"))
    account, container = wire.text(properties.get("accountName")), wire.text(properties.get("containerName"))
    endpoint = wire.text(properties.get("endpoint")) or "core.windows.net"
    url = f"{wire.text(properties.get('protocol')) or 'https'}://{account}.blob.{endpoint}/{container}"
    if wire.at(properties, "credentials", "credentialsType") == "None":
        return Place(url, None)
    try:
        secrets = plane.post(f"{path}/listSecrets", {"expirableSecret": True, "expireAfterHours": 1}, DATASTORES)
    except RefusedError as refused:
        if refused.status not in {BAD_REQUEST, FORBIDDEN}:
            raise
        return Place(url, None)  # no secret for us: our own role on the storage decides
    if sas := wire.text(secrets.get("sasToken")):
        return Place(url, sas.lstrip("?"))
    key = wire.text(secrets.get("key"))
    if not key:
        raise RefusedError(f"the datastore {name} gives neither a signature nor a key", code="DatastoreSecrets")
    return Place(url, sign(plane, key, account, container))


def sign(plane: ControlPlane, key: str, account: str, container: str) -> str:
    """Sign a right to a container for an hour ("Create a service SAS", versions from 2020-12-06 on)."""
    now = plane.clock.now()
    start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (now - timedelta(minutes=5), now + timedelta(hours=1)))
    resource = f"/blob/{account}/{container}"
    lines = ["racwl", start, end, resource, "", "", "https", VERSION, "c", "", "", "", "", "", "", ""]
    digest = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256).digest()
    fields = {"sp": "racwl", "st": start, "se": end, "spr": "https", "sv": VERSION, "sr": "c"}
    return urlencode({**fields, "sig": base64.b64encode(digest).decode()})


def _send(plane: ControlPlane, request: Request, signature: str | None) -> Response:
    headers = {"x-ms-version": VERSION, **request.headers}
    sent = Request(request.method, request.url, headers, request.body)
    return _checked(plane.exchange(sent, scope=STORAGE_SCOPE if signature is None else None))


def _checked(answer: Response) -> Response:
    if answer.status < 400:  # noqa: PLR2004
        return answer
    code = answer.headers.get("x-ms-error-code", "")
    if not code:
        raise refusal(answer)
    advice = (
        "Ask for the role Storage Blob Data Contributor on the workspace's storage." if "Authorization" in code else ""
    )
    raise RefusedError(f"the storage refused: {code}", code=code, status=answer.status, advice=advice)


def _xml(raw: bytes) -> ET.Element:
    try:
        return ET.fromstring(raw.removeprefix(b"\xef\xbb\xbf"))  # noqa: S314 - see the import
    except ET.ParseError as error:
        raise RefusedError(f"the storage did not answer in XML ({error})") from None


def _md5(body: bytes) -> dict[str, str]:
    return {"Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}


def _signed(url: str, signature: str | None) -> str:
    return url if signature is None else f"{url}{_and(url)}{signature}"


def _and(url: str) -> str:
    return "&" if urlsplit(url).query else "?"


def split(signed_uri: str) -> Place:
    """Return the place that a signed container address stands for."""
    head, _, signature = signed_uri.partition("?")
    return Place(head.rstrip("/"), signature)
