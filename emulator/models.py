"""Model assets. Answers always carry tags, properties and flavors: azure-ai-ml 1.35.2 fails without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import assets
from emulator.assets import Kind

if TYPE_CHECKING:
    from emulator.routing import Route

KIND = Kind(
    "models",
    "Model",
    fixed=("modelUri", "modelType"),
    required=("modelUri",),
    defaults={"modelType": "custom_model", "flavors": {}, "stage": None, "jobName": None},
)


def routes() -> list[Route]:
    """Return the rows of the table."""
    return assets.routes(KIND)
