"""What stands outside a stack's file, and how it comes in or goes: `refresh`, `adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from invoke import Context

    from console.drift import Drift

Choice: TypeAlias = Literal["show", "adopt", "revert"]


@command(
    help={
        "stack": STACK,
        "json": JSON,
        "adopt": "Write the differences into the stack's file and its state.",
        "revert": "Make the cloud again what the stack's file says.",
        "allow-replace": "With --revert: accept that this one is deleted and made anew; may be given again.",
    },
    iterable=["allow_replace"],
)
def refresh(
    _c: Context,
    allow_replace: list[str],
    stack: str = "local",
    adopt: bool = False,
    revert: bool = False,
    json: bool = False,
) -> None:
    """Show what changed outside the stack's file; adopt it or revert it only when asked.

    Examples:
      invoke refresh --stack local
      invoke refresh --stack local --adopt
      invoke refresh --stack local --revert

    """
    _refresh(stack, _choice(adopt=adopt, revert=revert), allow_replace, as_json=json)


@command(
    positional=["name"],
    help={
        "name": "A workspace or compute that the stack's file declares and that exists.",
        "stack": STACK,
        "write": "Write into the stack's file what it has otherwise, so that nothing of it changes.",
        "json": JSON,
    },
)
def adopt(_c: Context, name: str, stack: str = "local", write: bool = False, json: bool = False) -> None:
    """Take over a workspace or compute that exists. Changes nothing in the cloud; refuses what would be replaced.

    Examples:
      invoke adopt gpu-cluster --stack prod
      invoke adopt research --stack prod --write

    """
    from console import adoption, plans
    from console.progress import step
    from console.yard import Yard

    with step("adopt", f"taking {name} over") as work:
        found = adoption.adopt(Yard.here(), stack, name, write=write)
        work.note = f"{name} belongs to stack {stack} now"
    differs = [] if found.change is None else found.change.properties
    if json:
        dump({"name": name, "id": found.id, "wrote": list(found.wrote), "differs": [
            {"path": item.path, "found": item.old, "declared": item.new} for item in differs]})  # fmt: skip
        return
    for field in found.wrote:
        print(f"  wrote {field}")
    for item in differs:
        print(f"  {plans.short(item.path)} is {plans.value(item.old)}, the file says {plans.value(item.new)}")
    if differs:
        print(f"  next: invoke up --stack {stack}  makes it what the file says")


def _choice(*, adopt: bool, revert: bool) -> Choice:
    """Tell which of the two was asked for.

    Raises:
        SpecError: both.

    """
    from specs.problems import Problem, SpecError

    if adopt and revert:
        message = "adopts what the command would also revert. Give one of --adopt and --revert."
        raise SpecError([Problem("the command", 0, 0, "--adopt", message, rule="one-of")])
    return "adopt" if adopt else "revert" if revert else "show"


def _refresh(stack: str, how: Choice, allowed: list[str], *, as_json: bool) -> None:
    """Compare a stack with its cloud and do what was chosen."""
    from console import changing, drift
    from console.plans import summary
    from console.progress import step
    from console.yard import Yard

    yard = Yard.here()
    done = None
    with step("refresh", f"asking the cloud about stack {stack}") as work:
        if how == "revert":
            found, done = changing.revert(yard, stack, allowed, lambda event: work.say(event.name))
        elif how == "adopt":
            found = changing.adopt(yard, stack, lambda event: work.say(event.name))
        else:
            found = changing.drifts(yard, stack, lambda event: work.say(event.name))
        work.note = f"{stack}: {_words(found)}"
    if as_json:
        dump({"drift": [_as_json(item) for item in found], "done": how if found else "show"})
        return
    shown = f"stacks/{stack}.yaml"
    print("\n".join(drift.lines(found, shown)) or "  nothing changed outside")
    if not found:
        return
    if how == "show":
        print(f"  next: invoke refresh --stack {stack} --adopt · invoke refresh --stack {stack} --revert")
    elif how == "adopt":
        if any(item.moved for item in found):
            print(f"  {shown} says so now")
        gone = [item.change.name for item in found if item.change.op == "delete"]
        if gone:
            print(f"  {shown} still declares {', '.join(gone)}: delete it there, or: invoke up --stack {stack}")
        elif any(item.stranger for item in found):
            print(f"  what no field of it sets: invoke up --stack {stack}  puts it back")
    elif done is not None:
        print(f"  reverted: {summary(done, done=True).strip()}")


def _words(found: list[Drift]) -> str:
    from console.table import plural

    return f"{plural(len(found), 'resource')} changed outside" if found else "nothing changed outside"


def _as_json(item: Drift) -> dict[str, object]:
    return {
        "name": item.change.name,
        "type": item.change.type,
        "op": item.change.op,
        "properties": [{"path": each.path, "declared": each.old, "found": each.new} for each in item.change.properties],
        "fields": [".".join(moved.path) for moved in item.moved],
    }
