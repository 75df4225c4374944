from __future__ import annotations

from emulator.constants import SUBSCRIPTION_ID
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.cloud import disagreement

EMULATOR = {
    "PULUMI_DEBUG_PROVIDERS": "azure-native:4711",
    "ARM_SUBSCRIPTION_ID": EMULATOR_SUBSCRIPTION_ID,
    "ARM_METADATA_HOSTNAME": "localhost:4712",
}


def test_both_sides_know_the_same_subscription() -> None:
    assert SUBSCRIPTION_ID == EMULATOR_SUBSCRIPTION_ID


def test_an_azure_stack_is_refused_where_any_variable_points_at_the_emulator() -> None:
    for name, value in EMULATOR.items():
        refusal = disagreement("prod", "azure", {name: value})
        assert refusal is not None
        assert refusal.startswith(
            f"stack prod says cloud: azure, but this shell points at the emulator ({name}). Nothing was done."
        )


def test_an_emulated_stack_is_refused_where_one_variable_is_missing() -> None:
    for name in EMULATOR:
        rest = {key: value for key, value in EMULATOR.items() if key != name}
        assert disagreement("local", "emulator", rest) is not None


def test_a_stack_and_a_shell_that_agree_may_go_on() -> None:
    assert disagreement("local", "emulator", EMULATOR) is None
    assert disagreement("prod", "azure", {"ARM_SUBSCRIPTION_ID": "11111111-2222-4333-8444-555555555555"}) is None
