"""What is wrong with an input, said once and well: where, which field, the value given, what is allowed, a fix."""

from __future__ import annotations

from dataclasses import dataclass


class TrainyardError(Exception):
    """The root of every error of ours; the tree is drawn in `runtime/errors.py`."""

    exit_code = 1

    @property
    def gist(self) -> str:
        """Return what is wrong in one line, for a record."""
        return str(self).partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in one file, or in one option of a command. Lines and columns count from 1; 0 for an option."""

    file: str
    line: int
    column: int
    field: str
    """Dotted path, e.g. `workspaces.research.computes.cpu-cluster.min_nodes`; empty for the whole file."""
    message: str
    given: str | None = None
    """The value as written, shortened; None where there is none, or where it may be a secret."""
    rule: str = ""

    def __str__(self) -> str:
        """Render as the two lines that the terminal shows."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        head = f"{place}: {self.field or 'the file'}"
        given = "" if self.given is None else f" = {self.given}"
        rule = f"   [rule {self.rule}]" if self.rule else ""
        return f"{head}{given}\n  {self.message}{rule}"


class SpecError(TrainyardError):
    """The input must be fixed; nothing was sent. Carries every problem found, in file order."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def gist(self) -> str:
        """Return the first problem in one line."""
        return str(self.problems[0]).replace("\n ", ":", 1)
