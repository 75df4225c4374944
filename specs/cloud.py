"""The interlock: a stack file and the shell must mean the same cloud, or nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from specs.base import EMULATOR_SUBSCRIPTION_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def emulator_variables(environment: Mapping[str, str]) -> list[str]:
    """Name the variables of an environment that point at the emulator."""
    return [
        name
        for name, points in (
            ("PULUMI_DEBUG_PROVIDERS", "azure-native:" in environment.get("PULUMI_DEBUG_PROVIDERS", "")),
            ("ARM_SUBSCRIPTION_ID", environment.get("ARM_SUBSCRIPTION_ID") == EMULATOR_SUBSCRIPTION_ID),
            ("ARM_METADATA_HOSTNAME", environment.get("ARM_METADATA_HOSTNAME", "").startswith(LOOPBACK)),
        )
        if points
    ]


def disagreement(stack: str, cloud: Literal["azure", "emulator"], environment: Mapping[str, str]) -> str | None:
    """Say why this stack must not be deployed from this environment; None when the two agree."""
    found = emulator_variables(environment)
    if cloud == "azure" and found:
        return (
            f"stack {stack} says cloud: azure, but this shell points at the emulator ({', '.join(found)}). "
            "Nothing was done. Open a new shell, or: unset " + " ".join(_all_variables(environment))
        )
    if cloud == "emulator" and len(found) < 3:  # noqa: PLR2004 - all three, or it could reach Azure
        return (
            f"stack {stack} says cloud: emulator, but this shell does not point at the emulator. Nothing was done. "
            f'Use invoke (invoke up --stack {stack}), or: eval "$(invoke env {stack})"'
        )
    return None


def _all_variables(environment: Mapping[str, str]) -> list[str]:
    return sorted(name for name in environment if name.startswith(("ARM_", "PULUMI_DEBUG_PROVIDERS")))
