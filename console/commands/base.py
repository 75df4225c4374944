"""What every command is made of: a task whose errors are one message and an exit code, and the words of its options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from invoke import Task, task

from console.failures import reported

if TYPE_CHECKING:
    from collections.abc import Callable

STACK = "The stack: the name of a file in stacks/ (default: local)."
JSON = "Print JSON for scripts instead of text for people."


def command(**options: object) -> Callable[[Callable[..., None]], Task]:
    """Make a task whose errors are one message and an exit code."""

    def wrap(body: Callable[..., None]) -> Task:
        return task(**options)(reported(body))

    return wrap


def dump(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))
