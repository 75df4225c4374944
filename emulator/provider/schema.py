"""The schema of what the endpoint plays, for languages that ask for one before they run (Pulumi YAML does).

Made from the table, so it has its types only, and knows of objects and lists no more than that. The vendor's own plugin
answers with the whole of Azure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.provider.table import ResourceType, Table
    from emulator.routing import Json

PLAIN = frozenset({"string", "boolean", "integer", "number"})
ANY = "pulumi.json#/Any"


def schema(table: Table, version: str) -> str:
    """Render the schema as JSON. Pure."""
    resources: dict[str, Json] = {token: _resource(row) for token, row in sorted(table.types.items())}
    return json.dumps({"name": "azure-native", "version": version, "resources": resources})


def _resource(row: ResourceType) -> Json:
    inputs: dict[str, Json] = {name: _type(kind) for name, kind in row.inputs.items()}
    outputs: dict[str, Json] = {name: inputs.get(name, _type("")) for name in row.response}
    outputs["name"] = _type("string")
    return {
        "properties": outputs,
        "inputProperties": inputs,
        # A name that is made up when it is absent is not asked for; dotted ones are members of objects.
        "requiredInputs": [
            name for name in row.required if "." not in name and not (row.autoname and name == row.parameters[-1])
        ],
    }


def _type(kind: str) -> Json:
    return {"type": kind} if kind in PLAIN else {"$ref": ANY}
