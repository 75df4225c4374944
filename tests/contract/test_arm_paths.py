"""The table by which recovery finds resources agrees with the one by which the emulator's provider makes them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from emulator.provider import table
from engine.arm import KINDS

ROOT = Path(__file__).parents[2]


def test_every_type_that_the_provider_plays_can_be_looked_up() -> None:
    played = {token: (row.path, row.api_version) for token, row in table.load().types.items()}
    assert {token: (KINDS[token].path, KINDS[token].api) for token in played if token in KINDS} == played


def used() -> set[str]:
    """List `azure-native:module:Type` of every vendor resource that a component declares."""
    found = set()
    for path in (ROOT / "components").glob("*.py"):
        tree = ast.parse(path.read_text())
        imports = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "pulumi_azure_native"
        ]
        modules = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id in modules:
                found.add(f"azure-native:{modules[call.value.id]}:{call.attr}")
    return {token for token in found if re.search(r":[A-Z]\w+$", token) and not token.endswith(("Args", "ArgsDict"))}


@pytest.mark.parametrize("token", sorted(used()))
def test_every_type_that_a_component_declares_can_be_looked_up(token: str) -> None:
    _, module, name = token.split(":")
    kind = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
    documented = re.findall(r"Uses Azure REST API version ([0-9]{4}-[0-9a-z-]+)", inspect.getsource(kind))
    assert token in KINDS
    assert set(documented) == {KINDS[token].api}
