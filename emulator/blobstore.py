"""Where blobs are kept: their bytes in files named by SHA-256 below `home/blobs`, the rest in the state.

No HTTP here. A file is written aside, synced and renamed before the document that names it is written, so that an
acknowledged blob is whole after any crash. Names are case-sensitive in Azure and keys of the state are not: `encoded`
keeps them apart.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from emulator import ml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from emulator.accounts import Account
    from emulator.cloud import Cloud
    from emulator.routing import Json

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Where:
    """One container of one account."""

    account: Account
    container: str

    @property
    def id(self) -> str:
        """The container's ARM id."""
        return self.account.container_id(self.container)


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are safely in a file."""

    path: Path
    size: int
    sha256: str
    md5: str
    """Base64, as `Content-MD5` has it."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob as it is answered."""

    name: str
    path: Path
    size: int
    md5: str
    etag: str
    created: str
    modified: str
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)
    kind: str = "BlockBlob"


def encoded(name: str) -> str:
    """Write a blob's name so that lower-casing can't merge two names; prefixes stay prefixes."""
    plain = quote(name, safe="/-._ ")
    return "".join(f"^{char.lower()}" if char.isupper() else char for char in plain)


def stage(cloud: Cloud, chunks: Iterable[bytes]) -> Content:
    """Write bytes to their file (temporary, sync, rename) unless they are there already."""
    folder = cloud.home / "blobs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sha, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                sha.update(chunk)
                md5.update(chunk)
                size += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        digest = sha.hexdigest()
        target = folder / digest[:2] / digest
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(temporary, target)  # noqa: PTH105 - by name: the temporary file has no Path
        _sync(target.parent)
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
    return Content(target, size, digest, base64.b64encode(md5.digest()).decode())


def stage_file(cloud: Cloud, path: Path) -> Content:
    """Copy a file into the store."""
    with path.open("rb") as file:
        return stage(cloud, iter(lambda: file.read(CHUNK), b""))


def put(  # noqa: PLR0913, PLR0917 - the parts of one blob
    cloud: Cloud,
    where: Where,
    name: str,
    content: Content,
    content_type: str = "",
    metadata: Mapping[str, str] = {},
) -> Blob:
    """Create or overwrite a blob; durable when this returns."""
    id_ = f"{where.id}/blobs/{encoded(name)}"
    now = ml.stamp(cloud.now())
    with cloud.state.transaction():
        known = cloud.state.get(id_)
        number = cast("int", known["version"]) + 1 if known else 1
        document: dict[str, Json] = {
            "name": name,
            "sha256": content.sha256,
            "size": content.size,
            "md5": content.md5,
            "version": number,
            "created": known["created"] if known else now,
            "modified": now,
            "content_type": content_type or "application/octet-stream",
            "metadata": dict(metadata),
        }
        cloud.state.put(id_, document, "blob")
    return _blob(cloud, document)


def put_metadata(cloud: Cloud, where: Where, name: str, metadata: Mapping[str, str]) -> Blob | None:
    """Replace a blob's metadata; None when there is no such blob."""
    id_ = f"{where.id}/blobs/{encoded(name)}"
    with cloud.state.transaction():
        document = cloud.state.get(id_)
        if document is None:
            return None
        document["metadata"] = dict(metadata)
        document["version"] = cast("int", document["version"]) + 1
        document["modified"] = ml.stamp(cloud.now())
        cloud.state.put(id_, document, "blob")
    return _blob(cloud, document)


def get(cloud: Cloud, where: Where, name: str) -> Blob | None:
    """Return the blob, or None."""
    document = cloud.state.get(f"{where.id}/blobs/{encoded(name)}")
    return _blob(cloud, document) if document else None


def delete(cloud: Cloud, where: Where, name: str) -> bool:
    """Delete the blob; True when there was one. The bytes stay until `sweep`, for other blobs may share them."""
    return cloud.state.delete(f"{where.id}/blobs/{encoded(name)}")


def listing(cloud: Cloud, where: Where, prefix: str) -> list[Blob]:
    """List the blobs whose name starts with `prefix`, by name."""
    found = cloud.state.all("blob", f"{where.id}/blobs/{encoded(prefix)}")
    return sorted((_blob(cloud, document) for _, document in found), key=lambda blob: blob.name)


def sweep(cloud: Cloud) -> int:
    """Remove the files that no blob or block names (deleted blobs, writes cut short); only safe before serving."""
    named = {ml.text(document["sha256"]) for kind in ("blob", "block") for _, document in cloud.state.all(kind)}
    gone = 0
    for path in (cloud.home / "blobs").rglob("*"):
        if path.is_file() and path.name not in named:
            path.unlink()
            gone += 1
    return gone


def put_block(cloud: Cloud, where: Where, name: str, block: str, content: Content) -> None:
    """Keep an uncommitted block of a blob."""
    document: dict[str, Json] = {"block": block, "sha256": content.sha256, "size": content.size}
    cloud.state.put(f"{where.id}/blocks/{encoded(name)}/{encoded(quote(block, safe=''))}", document, "block")


def commit_blocks(cloud: Cloud, where: Where, name: str, blocks: Iterable[str]) -> Content | None:
    """Join blocks in the order given; None when one of them was never put. The blocks are forgotten."""
    held = {ml.text(block["block"]): block for block in cloud.state.children(f"{where.id}/blocks/{encoded(name)}")}
    wanted = list(blocks)
    if any(block not in held for block in wanted):
        return None
    paths = [_path(cloud, ml.text(held[block]["sha256"])) for block in wanted]
    content = stage(cloud, (chunk for path in paths for chunk in _chunks(path)))
    cloud.state.delete_tree(f"{where.id}/blocks/{encoded(name)}")
    return content


def _chunks(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _path(cloud: Cloud, sha256: str) -> Path:
    return cloud.home / "blobs" / sha256[:2] / sha256


def _blob(cloud: Cloud, document: Mapping[str, Json]) -> Blob:
    sha256 = ml.text(document["sha256"])
    return Blob(
        name=ml.text(document["name"]),
        path=_path(cloud, sha256),
        size=cast("int", document["size"]),
        md5=ml.text(document["md5"]),
        etag=f'"0x{sha256[:10].upper()}{document["version"]:04X}"',
        created=ml.text(document["created"]),
        modified=ml.text(document["modified"]),
        content_type=ml.text(document["content_type"]),
        metadata=ml.texts(document["metadata"]),
    )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
