"""What a resource type tells the engine: its path, its names, the shape of its answer, what its writes need.

Data and pure functions; `emulator.arm` calls them with the state locked, so that what they read still holds when the
document is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from emulator import ml
from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.cloud import Cloud
    from emulator.routing import Call, Json, Route

Document: TypeAlias = "dict[str, Json]"


@dataclass(frozen=True, slots=True)
class Name:
    """A rule of "Naming rules and restrictions for Azure resources"."""

    pattern: str
    words: str

    def fits(self, name: str) -> bool:
        """Say whether the whole name fits."""
        return re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True, slots=True)
class Write:
    """A PUT (or a PATCH already merged into a whole body) that is being judged."""

    call: Call
    id: str
    name: str
    body: Document
    old: Document | None

    @property
    def cloud(self) -> Cloud:
        """The cloud that it is written to."""
        return self.call.cloud

    @property
    def properties(self) -> Document:
        """The body's `properties`."""
        return ml.obj(self.body.get("properties"))

    @property
    def old_properties(self) -> Document:
        """The `properties` that are there already; empty for a new resource."""
        return ml.obj(self.old.get("properties")) if self.old else {}

    def parent(self) -> Document:
        """Return the document that this one is nested in, or its resource group."""
        cut = self.id.rpartition("/")[0].rpartition("/")[0]
        cut = cut.partition("/providers/")[0] if cut.count("/") <= 6 else cut  # noqa: PLR2004 - …/providers/{namespace}
        return self.cloud.state.get(cut) or {}

    def kept(self, name: str, new: Callable[[], Json]) -> Json:
        """Return an output that is made once: the old one, or a new one."""
        return self.old_properties.get(name) or new()


def _nothing_to_check(_call: Call, _document: Document) -> None:
    """Any resource of the type may go."""


def _nothing_to_do(_cloud: Cloud, _document: Document) -> None:
    """Nothing follows."""


def _nothing_written(_write: Write) -> None:
    """No children came in the body."""


def _nothing_more(_write: Write) -> Document:
    return {}


def _as_is(_cloud: Cloud, document: Document) -> Document:
    return document


def merged(_call: Call, old: Document, patch: Document) -> Document:
    """Apply a PATCH as ARM's providers do: members replace, `properties` member by member, tags as a whole."""
    body = {**old, **{key: value for key, value in patch.items() if key != "properties"}}
    properties = {**ml.obj(old.get("properties")), **ml.obj(patch.get("properties"))}
    return {**body, "properties": properties}


@dataclass(frozen=True, slots=True)
class Type:
    """One resource type."""

    name: str
    """`Microsoft.Network/virtualNetworks/subnets`"""
    rule: Name
    shape: Callable[[Write], Document]
    """Check the write; return the document's `properties`. Raises `Refusal`."""
    outputs: Callable[[Write], Document] = _nothing_more
    """Members beside `properties` that the service adds, such as `etag`."""
    top: tuple[str, ...] = ("location", "tags")
    """Members beside `properties` that are kept."""
    location: Literal["required", "optional", "none"] = "required"
    put: Literal["sync", "operation", "location"] = "sync"
    """Done at once; 201/200 with `Azure-AsyncOperation`; or 202 with `Location` and no body."""
    created: int = 201
    """The status of a create that is done at once."""
    delete: Literal["sync", "operation"] = "sync"
    may_go: Callable[[Call, Document], None] = _nothing_to_check
    """Raise `Refusal` when the resource can't be deleted now."""
    going: Callable[[Cloud, Document], None] = _nothing_to_do
    """Before the document goes, in the same transaction."""
    gone: Callable[[Cloud, Document], None] = _nothing_to_do
    """After it is gone and the state is free again."""
    written: Callable[[Write], None] = _nothing_written
    """In the same transaction as the document: children that came in its body."""
    settled: Callable[[Cloud, Document], None] = _nothing_to_do
    """After a write has settled and the state is free again."""
    view: Callable[[Cloud, Document], Document] = _as_is
    """What GET shows: the document, with what is only known at the moment."""
    patch: Callable[[Call, Document, Document], Document] = merged
    """Make a whole body of the old document and a PATCH."""
    secret: Callable[[Write], Document] = _nothing_more
    """What must not be shown, kept in a document of its own; `shape` leaves it out."""
    extra: Callable[[], list[Route]] = list
    """The type's other routes: actions, lists of deleted ones."""

    @property
    def provider(self) -> str:
        """The namespace."""
        return self.name.partition("/")[0]

    @property
    def segments(self) -> tuple[str, ...]:
        """The types below the namespace, outermost first."""
        return tuple(self.name.split("/")[1:])


def choice(value: Json, name: str, allowed: tuple[str, ...]) -> None:
    """Check a word of a fixed list. Raises `Refusal` 400; absent is fine."""
    if value is not None and value not in allowed:
        raise invalid(f"The value '{value}' of '{name}' is not valid. Allowed values: {', '.join(allowed)}.")


def required(properties: Mapping[str, Json], *names: str) -> None:
    """Check that members are there. Raises `Refusal` 400 naming the first that is not."""
    for name in names:
        if properties.get(name) in (None, ""):
            raise invalid(f"Required property '{name}' is missing from the request body.")


def exists(cloud: Cloud, id_: Json, kind: str, what: str) -> Document:
    """Return the document that a body refers to. Raises `Refusal` 400 when it is not there or of another type."""
    found = cloud.state.get(ml.text(id_))
    if found is None or ml.text(found.get("type")).lower() != kind.lower():
        message = f"Resource {id_} referenced by {what} was not found. Please make sure that it exists."
        raise Refusal(400, "InvalidResourceReference", message)
    return found


def invalid(message: str) -> Refusal:
    """Return the 400 of a body that can't be accepted."""
    return Refusal(400, "InvalidRequestContent", message)


def same_place(left: Json, right: Json) -> bool:
    """Compare two locations as ARM does: without case and blanks."""
    return place(left) == place(right)


def place(location: Json) -> str:
    """Return a location's short name."""
    return ml.text(location).replace(" ", "").lower()
