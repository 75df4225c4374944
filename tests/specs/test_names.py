"""Names that Azure takes, at both ends of every rule."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from specs import base
from specs.compute import NAME_LENGTHS
from specs.names import NOT_FIRST, NOWHERE, RESERVED, reserved

RULES: dict[str, tuple[TypeAdapter[str], list[str], list[str]]] = {
    "resource group": (
        TypeAdapter(base.ResourceGroupName),
        ["r", "r" * 90, "(a).b-c_d", "ä"],
        ["", "r" * 91, "r.", "a b", "a/b"],
    ),
    "workspace": (TypeAdapter(base.WorkspaceName), ["abc", "w" * 33, "9-a"], ["ab", "w" * 34, "-ab", "a_b", "a.b"]),
    "compute": (
        TypeAdapter(base.ComputeName),
        ["ab", "cpu-cluster", "a1", "gpu4-a", "a" * 32, "a--b", "A-1b"],
        ["", "a", "a" * 33, "1a", "a-", "a-1", "a-b-1", "a_b", "ä-b", "a\n"],
    ),
    "identity": (
        TypeAdapter(base.ResourceName),
        ["ab", "a" * 64, "a.b-c_", "9a"],
        ["", "a", "a" * 65, "-a", "ab-", "ab.", "a b"],
    ),
    "subnet": (TypeAdapter(base.SubnetName), ["a", "a" * 80, "a.b-c_"], ["", "a" * 81, "a-", ".a"]),
    "security rule": (TypeAdapter(base.SecurityRuleName), ["a", "a" * 80], ["", "a" * 81, "a b"]),
    "region": (
        TypeAdapter(base.Location),
        ["westeurope", "uksouth", "eastus2", "germanywestcentral"],
        ["", "West Europe", "westEurope", "we", "2eastus"],
    ),
    "size": (
        TypeAdapter(base.VmSize),
        ["Standard_D2_v2", "Standard_NC24ads_A100_v4", "STANDARD_D2", "Basic_A1"],
        ["", "D2_v2", "Standard_", "Standard_D2-v2", "standard D2"],
    ),
    "user": (
        TypeAdapter(base.UserName),
        ["a", "_jobs", "a" * 32, "jobs-1"],
        ["", "Jobs", "1jobs", "a" * 33, "a.b", "a@b"],
    ),
}
"""Names of each rule that are taken, and that are not."""


@pytest.mark.parametrize("rule", RULES)
def test_a_name_within_the_rule_is_taken_and_one_beyond_is_not(rule: str) -> None:
    adapter, taken, refused = RULES[rule]
    assert [name for name in taken if adapter.validate_python(name) != name] == []
    for name in refused:
        with pytest.raises(ValidationError):
            adapter.validate_python(name)


def test_lengths_of_computes_are_those_of_their_kind() -> None:
    assert NAME_LENGTHS == {"AmlCompute": (3, 32), "ComputeInstance": (3, 24), "VirtualMachine": (2, 16)}


def test_words_that_azure_keeps_are_told_with_what_is_free() -> None:
    assert [word for word in RESERVED if not reserved(word.upper())] == []
    assert [word for word in (*NOWHERE, f"my{NOWHERE[0]}", NOT_FIRST, f"{NOT_FIRST}s") if not reserved(word)] == []
    assert reserved("Azure") == "Azure is a word that Azure reserves. Add something to it, for example team-azure."
    assert [word for word in ("team-azure", "my-login", "boxes", "cpu-cluster") if reserved(word)] == []
