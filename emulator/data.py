"""Data assets: a name and version for a file, a folder or an MLTable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import assets
from emulator.assets import Kind

if TYPE_CHECKING:
    from emulator.routing import Route

KIND = Kind("data", "Data", fixed=("dataUri", "dataType"), required=("dataUri",), defaults={"dataType": "uri_folder"})


def routes() -> list[Route]:
    """Return the rows of the table."""
    return assets.routes(KIND)
