"""What changed outside a stack's file: found, adopted into the file, or reverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console import drift
from console.plans import real
from runtime.errors import HeldBackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.drift import Drift
    from console.yard import Yard
    from engine.operations import Progress
    from engine.plan import Plan


def drifts(yard: Yard, stack: str, on_event: Callable[[Progress], None] | None = None) -> list[Drift]:
    """Say what changed outside the stack's file, in its words. Changes nothing."""
    from engine import operations

    session, spec = yard.session(stack)
    plan = operations.refresh(session, preview_only=True, on_event=on_event)
    return drift.drifts(spec, plan, yard.deployed(stack))


def adopt(yard: Yard, stack: str, on_event: Callable[[Progress], None] | None = None) -> list[Drift]:
    """Write into the stack's file what changed outside it, and take it into state; return all that differed.

    Raises:
        SpecError: what Azure has is nothing that the file may say; nothing was written.

    """
    found = drifts(yard, stack, on_event)
    if any(item.moved for item in found):
        path = yard.project.root / "stacks" / f"{stack}.yaml"
        drift.write(path, drift.adopted(path.read_text("utf-8"), f"stacks/{stack}.yaml", found))
    if found:
        yard.refresh(stack, preview_only=False, on_event=on_event)
    return found


def revert(
    yard: Yard, stack: str, allowed: list[str], on_event: Callable[[Progress], None] | None = None
) -> tuple[list[Drift], Plan | None]:
    """Make Azure again what the stack's file says; return what differed and what was done, if anything did.

    Raises:
        HeldBackError: the file itself was changed since the last `up`: that would go along unseen.

    """
    own = real(yard.preview(stack, on_event))
    if own:
        names = ", ".join(sorted({change.name for change in own}))
        message = f"stacks/{stack}.yaml has changes of its own, which would go along: {names}. Nothing was done."
        raise HeldBackError(f"{message}\n  first: invoke up --stack {stack}")
    found = drifts(yard, stack, on_event)
    if not found:
        return [], None
    yard.refresh(stack, preview_only=False, on_event=on_event)
    return found, yard.up(stack, allowed, on_event)
