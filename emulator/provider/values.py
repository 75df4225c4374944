"""Property values between Pulumi's protobuf structs and plain JSON; unknowns are strings with a fixed spelling.

Secrets never arrive wrapped: Configure answers `acceptSecrets=false`, so that the engine keeps the wrapping itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import struct_pb2

if TYPE_CHECKING:
    from emulator.routing import Json

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS = frozenset(
    {
        UNKNOWN,  # string, and what is sent for a value of any type
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
    }
)
"""The engine's spellings (pulumi/sdk 3.255, resource/plugin/rpc.go)."""


def is_unknown(value: Json) -> bool:
    """Tell whether the value itself is not known yet (during a preview)."""
    return isinstance(value, str) and value in UNKNOWNS


def has_unknowns(value: Json) -> bool:
    """Tell whether anything inside the value is not known yet."""
    if isinstance(value, dict):
        return any(has_unknowns(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknowns(item) for item in value)
    return is_unknown(value)


def from_struct(struct: struct_pb2.Struct) -> dict[str, Json]:
    """Read a struct; nulls are dropped from objects, as the vendor does, and whole numbers become `int`."""
    return {key: _read(value) for key, value in struct.fields.items() if value.WhichOneof("kind") != "null_value"}


def to_struct(values: dict[str, Json]) -> struct_pb2.Struct:
    """Write a struct."""
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def without_nulls(value: Json) -> Json:
    """Copy the value without the null members of objects."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _read(value: struct_pb2.Value) -> Json:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_read(item) for item in value.list_value.values]
    if kind == "number_value":
        number = float(value.number_value)
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return bool(value.bool_value)
    return str(value.string_value) if kind == "string_value" else None
