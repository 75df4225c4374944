"""What the tests of every field share: a declared resource's inputs as a provider gets them, what of them changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.provider.diff import compare
from tests.components.compute_kit import SECRET_SIGNATURE

if TYPE_CHECKING:
    from emulator.provider.table import ResourceType
    from emulator.routing import Json


def plain(value: object) -> Json:
    """Take the wrapping off secrets and numbers, as a provider does."""
    if isinstance(value, dict):
        if SECRET_SIGNATURE in value:
            return plain(value["value"])
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    assert value is None or isinstance(value, str | int | float)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole(value: object) -> dict[str, Json]:
    """Return a resource's inputs."""
    found = plain(value)
    assert isinstance(found, dict)
    return found


def changed(row: ResourceType, before: dict[str, Json], after: dict[str, Json]) -> set[str]:
    """Return the paths that the provider reports."""
    return set(compare(row, before, after, before))


def within(path: str, above: str) -> bool:
    """Tell whether a property path is, or lies in, another."""
    return path == above or path.startswith((f"{above}.", f"{above}["))


def replaces(paths: set[str], on_changes: list[str]) -> bool:
    """Decide as the engine does with `replace_on_changes` (pulumi, pkg/resource/deploy/step_generator.go)."""
    return any(within(path, above) for path in paths for above in on_changes)
