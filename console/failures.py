"""The last seam: every error that we can foresee becomes one message and an exit code; a traceback is a bug of ours."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs.problems import Problem

Given = ParamSpec("Given")
Result = TypeVar("Result")


def reported(body: Callable[Given, Result]) -> Callable[Given, Result]:
    """Print our errors as `error: …` on stderr and exit with their code; leave every other exception alone."""

    @functools.wraps(body)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        from engine.errors import EngineError
        from specs.problems import SpecError, TrainyardError

        try:
            return body(*args, **kwargs)
        except SpecError as error:
            for problem in error.problems:
                say(f"error: {problem}")
            count = len(error.problems)
            say(f"{count} error{'' if count == 1 else 's'}, nothing was sent.")
            sys.exit(error.exit_code)
        except TrainyardError as error:
            say(f"error: {error}")
            sys.exit(error.exit_code)
        except EngineError as error:
            say(f"error: {error}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(130)
        except BrokenPipeError:
            # Whoever read our output has gone (`| head`): not an error, and nothing left to print to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)

    return run


def as_object(problem: Problem) -> dict[str, object]:
    """Render a finding for scripts."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.field,
        "given": problem.given,
        "message": problem.message,
        "rule": problem.rule,
    }


def say(text: str) -> None:
    """Print to stderr."""
    print(text, file=sys.stderr)  # noqa: T201 - this is the terminal
