"""Code assets: the snapshots of jobs. Found again by content (`hash`), never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import assets
from emulator.assets import Kind

if TYPE_CHECKING:
    from emulator.routing import Route

KIND = Kind("codes", "Code", fixed=("codeUri",), required=("codeUri",))


def routes() -> list[Route]:
    """Return the rows of the table."""
    return assets.routes(KIND)
