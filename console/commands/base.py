"""What every command is made of: a task whose errors are one message and an exit code, and the words of its options."""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING

from invoke import Task, task

from console.commands.words import Command, Many
from console.failures import reported

if TYPE_CHECKING:
    from collections.abc import Callable

STACK = "The stack: the name of a file in stacks/ (default: local)."
ONLINE = "Ask the retail price service for the prices of today, in place of the catalogue's."
JSON = "Print JSON for scripts instead of text for people."


def command(*, many: bool = False, **options: object) -> Callable[[Callable[..., None]], Task]:
    """Make a task whose errors are one message and an exit code; `many`: its first argument takes many words."""

    def wrap(body: Callable[..., None]) -> Task:
        return task(klass=Many if many else Command, **options)(helped(reported(body)))

    return wrap


def helped(body: Callable[..., None]) -> Callable[..., None]:
    """Answer `invoke COMMAND --help` where invoke itself would take `--help` for the command's first argument."""

    @functools.wraps(body)
    def run(*args: object, **kwargs: object) -> None:
        given = [
            word for value in (*args, *kwargs.values()) for word in (value if isinstance(value, list) else [value])
        ]
        if {"--help", "-h"} & {word for word in given if isinstance(word, str)}:
            from invoke.main import program

            name = next(word for word in sys.argv[1:] if not word.startswith("-"))
            program.run(["invoke", "--help", name])
        else:
            body(*args, **kwargs)

    return run


def dump(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))
