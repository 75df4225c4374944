"""The XML pages of the blob service: List Blobs and List Containers."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from emulator import blobstore, live, ml
from emulator.routing import Refusal

if TYPE_CHECKING:
    from emulator.accounts import Account
    from emulator.blobstore import Blob, Where
    from emulator.routing import Call

MOST = 5000


def blobs(call: Call, where: Where) -> bytes:
    """Play List Blobs: prefix, delimiter, marker, maxresults, include=metadata."""
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    found = {blob.name: blob for blob in live.listing(call.cloud, where, prefix)}
    found |= {blob.name: blob for blob in blobstore.listing(call.cloud, where, prefix)}
    entries = _grouped(sorted(found), prefix, delimiter)
    after = _marker(call.query.get("marker", ""))
    page, most = [entry for entry in entries if entry > after], _most(call)
    root = ET.Element(
        "EnumerationResults", ServiceEndpoint=f"{call.origin}/{where.account.name}.blob/", ContainerName=where.container
    )
    for name, value in (("Prefix", prefix), ("Marker", call.query.get("marker", "")), ("MaxResults", str(most))):
        if value:
            ET.SubElement(root, name).text = value
    if delimiter:
        ET.SubElement(root, "Delimiter").text = delimiter
    listed = ET.SubElement(root, "Blobs")
    with_metadata = "metadata" in call.query.get("include", "").split(",")
    for entry in page[:most]:
        if entry in found:
            _blob(listed, found[entry], with_metadata=with_metadata)
        else:
            ET.SubElement(ET.SubElement(listed, "BlobPrefix"), "Name").text = entry
    more = base64.urlsafe_b64encode(page[most - 1].encode()).decode() if len(page) > most else ""
    ET.SubElement(root, "NextMarker").text = more
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def containers(call: Call, account: Account) -> bytes:
    """Play List Containers: prefix; one page."""
    root = ET.Element("EnumerationResults", ServiceEndpoint=f"{call.origin}/{account.name}.blob/")
    listed = ET.SubElement(root, "Containers")
    for document in call.cloud.state.children(f"{account.id}/blobServices/default/containers"):
        name = ml.text(document.get("name"))
        if not name.startswith(call.query.get("prefix", "")):
            continue
        item = ET.SubElement(listed, "Container")
        ET.SubElement(item, "Name").text = name
        properties = ET.SubElement(item, "Properties")
        changed = ml.text(ml.obj(document.get("properties")).get("lastModifiedTime")) or ml.stamp(call.cloud.now())
        ET.SubElement(properties, "Last-Modified").text = ml.http_date(changed)
        ET.SubElement(properties, "Etag").text = ml.text(document.get("etag"))
    ET.SubElement(root, "NextMarker").text = ""
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _grouped(names: list[str], prefix: str, delimiter: str) -> list[str]:
    if not delimiter:
        return names
    cut = {
        prefix + name[len(prefix) :].split(delimiter, 1)[0] + delimiter if delimiter in name[len(prefix) :] else name
        for name in names
    }
    return sorted(cut)


def _blob(parent: ET.Element, blob: Blob, *, with_metadata: bool) -> None:
    item = ET.SubElement(parent, "Blob")
    ET.SubElement(item, "Name").text = blob.name
    properties = ET.SubElement(item, "Properties")
    for name, value in (
        ("Creation-Time", ml.http_date(blob.created)),
        ("Last-Modified", ml.http_date(blob.modified)),
        ("Etag", blob.etag.strip('"')),
        ("Content-Length", str(blob.size)),
        ("Content-Type", blob.content_type),
        ("Content-MD5", blob.md5),
        ("BlobType", blob.kind),
        ("LeaseStatus", "unlocked"),
        ("LeaseState", "available"),
        ("ServerEncrypted", "true"),
    ):
        ET.SubElement(properties, name).text = value
    if with_metadata:
        metadata = ET.SubElement(item, "Metadata")
        for name, value in blob.metadata.items():
            ET.SubElement(metadata, name).text = value


def _most(call: Call) -> int:
    given = call.query.get("maxresults", str(MOST))
    if not given.isdigit() or int(given) < 1:
        raise Refusal(400, "OutOfRangeQueryParameterValue", f"maxresults '{given}' must be from 1 to {MOST}.")
    return min(int(given), MOST)


def _marker(value: str) -> str:
    try:
        return base64.urlsafe_b64decode(value).decode()
    except ValueError as error:
        raise Refusal(400, "InvalidQueryParameterValue", f"The marker '{value}' is not one.") from error
