"""Canceling runs: each is tried, whatever becomes of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.errors import TrainyardError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.yard import Yard
    from runtime.runs import Run


@dataclass(frozen=True, slots=True)
class Canceled:
    """What became of one wish."""

    id: str
    state: str | None
    text: str
    done: bool = False
    """The run has ended."""
    failure: TrainyardError | None = None

    @property
    def error(self) -> str | None:
        """Why the wish could not be taken."""
        return str(self.failure) if self.failure else None


def cancel(yard: Yard, names: Sequence[str], workspace: str | None) -> list[Canceled]:
    """Cancel runs by name, in order; one that can't be found does not keep the others from it."""
    return [_one(yard, name, workspace) for name in dict.fromkeys(names)]


def raise_first(done: Sequence[Canceled]) -> None:
    """Raise the first failure, after every other was tried and told."""
    failures = [item.failure for item in done if item.failure]
    for failure in failures[1:]:
        from console.failures import say

        say(f"error: {failure}")
    if failures:
        raise failures[0]


def _one(yard: Yard, name: str, workspace: str | None) -> Canceled:
    try:
        before = yard.run(name, workspace)
        ended = before.cancel()
    except TrainyardError as error:
        return Canceled(name, None, "", failure=error)
    return Canceled(ended.id, ended.state, words(before, ended), ended.terminal)


def words(before: Run, after: Run) -> str:
    """Say whether it is done. Pure."""
    if before.terminal:
        return f"{after.id} is {after.state} already; there is nothing to cancel"
    if after.terminal:
        return f"{after.id} is {after.state}"
    if after.stale:
        return f"{after.id} is to be canceled; its target can't be asked now ({after.stale}), the next command does it"
    return f"{after.id} is being canceled; now it is {after.state}. To see it end: invoke logs {after.id}"
