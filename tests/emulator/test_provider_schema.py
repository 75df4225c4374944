from __future__ import annotations

import json

from emulator.provider import table
from emulator.provider.schema import schema


def test_a_type_is_described_as_the_table_knows_it() -> None:
    described = json.loads(schema(table.load(), "3.29.0"))
    assert (described["name"], described["version"]) == ("azure-native", "3.29.0")
    assert described["resources"]["azure-native:resources:ResourceGroup"] == {
        "inputProperties": {
            "location": {"type": "string"},
            "managedBy": {"type": "string"},
            "resourceGroupName": {"type": "string"},
            "tags": {"$ref": "pulumi.json#/Any"},
        },
        "requiredInputs": ["location"],
        "properties": {
            "location": {"type": "string"},
            "managedBy": {"type": "string"},
            "tags": {"$ref": "pulumi.json#/Any"},
            "name": {"type": "string"},
            "properties": {"$ref": "pulumi.json#/Any"},
            "type": {"$ref": "pulumi.json#/Any"},
        },
    }


def test_every_type_of_the_table_is_described() -> None:
    assert set(json.loads(schema(table.load(), "1"))["resources"]) == set(table.load().types)
