"""What takes a stack out of here: to other tools, in their formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.base import STACK, command

if TYPE_CHECKING:
    from invoke import Context


TEMPLATE = "deploymentTemplate.json"
"""What every ARM template names as its schema."""


@command(help={"stack": STACK, "file": "Write here instead of to the terminal."})
def export(_c: Context, stack: str = "local", file: str = "") -> None:
    """Print a stack as an ARM template, for scanners that read those. No network, no engine; holds no secret.

    Examples:
      invoke export --stack prod --file prod.json && checkov --framework arm -f prod.json

    """
    from console.export import exported
    from console.yard import Yard
    from runtime.errors import StoreError

    text = json.dumps(exported(stack, Yard.here().spec(stack)), indent=1, ensure_ascii=False)
    if not file:
        print(text)
        return
    try:
        if Path(file).exists() and TEMPLATE not in Path(file).read_text("utf-8", errors="replace"):
            raise StoreError(f"{file} exists and is no ARM template. Give another name; it was not touched.")
        Path(file).write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise StoreError(f"{file} can't be written: {error.strerror}") from None
    print(f"  {file}")
