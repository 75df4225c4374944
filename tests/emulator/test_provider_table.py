"""The table of types against pulumi-azure-native's own source, which is only read: importing it takes a second."""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

from emulator.provider.table import load

TOKENS = sorted(load().types)
NEVER_GIVEN = {"id", "type", "name"}
"""Inputs that the SDK inherits from Azure's sub-resources; nobody sets them on a resource of its own."""


def _sdk() -> Path:
    spec = importlib.util.find_spec("pulumi_azure_native")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def _class(token: str) -> ast.ClassDef:
    _, module, name = token.split(":")
    file = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()  # public_ip_address
    tree = ast.parse((_sdk() / module / f"{file}.py").read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _getters(token: str) -> dict[str, ast.FunctionDef]:
    return {
        _sdk_name(node): node
        for node in _class(token).body
        if isinstance(node, ast.FunctionDef) and node.name != "get" and len(node.decorator_list) == 2
    } | {
        node.name: node
        for node in _class(token).body
        if isinstance(node, ast.FunctionDef)
        and len(node.decorator_list) == 1
        and ast.unparse(node.decorator_list[0]) == "property"
    }


def _sdk_name(node: ast.FunctionDef) -> str:
    name = re.search(r"name=['\"](\w+)['\"]", ast.unparse(node.decorator_list[1]))
    return name[1] if name else node.name


def _inputs(token: str) -> set[str]:
    internal = next(
        node for node in _class(token).body if isinstance(node, ast.FunctionDef) and node.name == "_internal_init"
    )
    names = {argument.arg for argument in internal.args.args} - {"__self__", "resource_name", "opts", "__props__"}
    return {name.replace("_", "") for name in names}


@pytest.mark.parametrize("token", TOKENS)
def test_the_api_version_is_the_one_that_the_vendors_class_names(token: str) -> None:
    documented = re.findall(r"Uses Azure REST API version ([0-9a-z-]+)", ast.unparse(_class(token)))
    assert {load().types[token].api_version} == set(documented)


@pytest.mark.parametrize("token", TOKENS)
def test_the_inputs_are_the_ones_that_the_vendors_class_takes(token: str) -> None:
    ours = {name.lower() for name in load().types[token].inputs}
    theirs = {name.lower() for name in _inputs(token)}
    assert ours <= theirs
    assert theirs - ours <= NEVER_GIVEN


@pytest.mark.parametrize("token", TOKENS)
def test_the_outputs_are_the_ones_that_the_vendors_class_has(token: str) -> None:
    row = load().types[token]
    theirs = set(_getters(token)) - {"azureApiVersion", "azure_api_version"}
    assert set(row.outputs) <= theirs
    assert theirs - set(row.response) <= NEVER_GIVEN


def test_every_last_path_parameter_is_an_input_of_string_type() -> None:
    assert {row.inputs[row.parameters[-1]] for row in load().types.values()} == {"string"}


@pytest.mark.parametrize("token", sorted(load().actions))
def test_the_api_version_of_an_action_is_the_one_that_the_vendors_function_names(token: str) -> None:
    _, module, name = token.split(":")
    file = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    source = (_sdk() / module / f"{file}.py").read_text(encoding="utf-8")
    documented = re.findall(r"Uses Azure REST API version ([0-9a-z-]+)", source)
    assert {load().actions[token].api_version} == set(documented)
