"""The platform team's commands: from a stack file to what is deployed."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.base import JSON, ONLINE, STACK, command, dump
from console.failures import as_object, say

if TYPE_CHECKING:
    from invoke import Context


@command(
    help={"yaml": "Also the language host for programs in Pulumi YAML; our own stacks don't need it.", "json": JSON}
)
def setup(_c: Context, yaml: bool = False, json: bool = False) -> None:
    """Find or get the Pulumi engine; takes some minutes the first time where it must be built.

    Example: invoke setup
    """
    from console.progress import step
    from engine import obtain, yaml_host

    with step("engine", "looking for a Pulumi engine") as work:
        found = obtain.find_or_get(work.say)
        work.note = f"pulumi {found.version}, {found.origin}{' (cached)' if found.cached else ''}"
    if yaml:
        with step("yaml host", f"looking for {yaml_host.NAME}") as work:
            work.note = str(yaml_host.find_or_get(work.say) / yaml_host.NAME)
    if json:
        dump({"version": found.version, "origin": found.origin, "bin": str(found.bin), "cached": found.cached})


@command(help={"json": JSON})
def doctor(_c: Context, json: bool = False) -> None:
    """Say what is present, what is missing and what to type. Exit code 1 if something is missing.

    Example: invoke doctor
    """
    from console.table import columns
    from console.yard import Yard
    from engine import doctor as engine_doctor

    checks = engine_doctor.checks(Yard.here().project.root)
    if json:
        dump([{"name": item.name, "ok": item.ok, "found": item.found, "fix": item.fix} for item in checks])
    else:
        rows = [["ok" if item.ok else "MISSING", item.name, item.found] for item in checks]
        print("\n".join(columns(["", "WHAT", "FOUND"], rows)))
        for item in checks:
            if not item.ok:
                print(f"\n  {item.name}: {item.fix}")
    sys.exit(0 if all(item.ok for item in checks) else 1)


@command(
    help={
        "stack": STACK,
        "json": JSON,
        "online": "Also hold node counts against the subscription's quotas as they are now.",
        "allow-replace": "Accept that this compute or workspace would be deleted and made anew; may be given again.",
    },
    iterable=["allow_replace"],
)
def check(
    _c: Context, allow_replace: list[str], stack: str = "local", online: bool = False, json: bool = False
) -> None:
    """Check a stack's file, against what is deployed too. No network unless `--online`; nothing is started.

    Examples:
      invoke check --stack prod
      invoke check --stack prod --online

    """
    from console import checking
    from console.table import plural
    from console.yard import Yard
    from specs.problems import SpecError

    try:
        found = checking.checked(Yard.here(), stack, allow_replace, online=online)
    except SpecError as error:
        if json:
            dump({"stack": stack, "ok": False, "errors": [as_object(item) for item in error.problems]})
        raise
    computes = len(found.spec.computes())
    workspaces = len(found.spec.all_workspaces())
    if json:
        dump({"stack": stack, "ok": True, "workspaces": workspaces, "computes": computes,
              "warnings": [as_object(item) for item in found.warnings]})  # fmt: skip
        return
    for warning in found.warnings:
        say(f"warning: {warning}")
    print(f"  stacks/{stack}.yaml is good: {plural(workspaces, 'workspace')}, {plural(computes, 'compute')}")


@command(help={"stack": STACK, "json": JSON, "online": ONLINE})
def preview(_c: Context, stack: str = "local", online: bool = False, json: bool = False) -> None:
    """Say what `up` would change. Changes nothing.

    Examples:
      invoke preview --stack local
      invoke preview --stack prod --online

    """
    from console import deploying, plans
    from console.online import prices
    from console.progress import step
    from console.yard import Yard

    yard = Yard.here()
    warnings = [str(item) for item in yard.examined(stack).warnings]
    for warning in warnings:
        say(f"warning: {warning}")
    with step("preview", f"planning stack {stack}") as work:
        plan = yard.preview(stack, lambda event: work.say(f"{event.op} {event.name}"))
        work.note = f"{stack}:{plans.summary(plan)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan, warnings))
    else:
        print("\n".join(deploying.lines(yard, stack, plan, prices(yard, stack) if online else None)))
        if not plan.empty:
            print(f"  next: {deploying.accepting(stack, plan)}")


@command(
    help={
        "stack": STACK,
        "json": JSON,
        "allow-replace": "Accept that this compute or workspace is deleted and made anew; may be given again.",
        "allow-delete": "Accept that this one goes for good; may be given again.",
    },
    iterable=["allow_replace", "allow_delete"],
)
def up(
    _c: Context, allow_replace: list[str], allow_delete: list[str], stack: str = "local", json: bool = False
) -> None:
    """Make the cloud what the stack's file says. Refuses to replace or delete a compute or workspace unasked.

    Examples:
      invoke up --stack local
      invoke up --stack prod --allow-replace gpu-cluster

    """
    from console import plans
    from console.progress import step
    from console.yard import Yard

    with step("stack", f"deploying stack {stack}") as work:
        plan = Yard.here().up(
            stack, [*allow_replace, *allow_delete], lambda event: work.say(f"{event.op} {event.name}")
        )
        work.note = f"{stack}:{plans.summary(plan, done=True)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan))


@command(
    help={
        "stack": STACK,
        "yes": "Don't ask.",
        "purge": "Delete the workspaces beyond recovery; else Azure keeps them, and their names, for 14 days.",
        "json": JSON,
    }
)
def destroy(_c: Context, stack: str = "local", yes: bool = False, purge: bool = False, json: bool = False) -> None:
    """Delete everything that the stack made. Names what goes, and asks. In the emulator, workspaces are purged.

    Example: invoke destroy --stack local
    """
    from console import plans
    from console.ask import agreed
    from console.progress import step
    from console.yard import Yard

    yard = Yard.here()
    if not yes:
        say("\n".join(plans.lines(yard.doomed(stack))))
        if not agreed(f"Delete all of this, in stack {stack}?", stack):
            say("  nothing was deleted")
            sys.exit(1)
    with step("destroy", f"deleting stack {stack}") as work:
        plan = yard.destroy(stack, purge=purge, on_event=lambda event: work.say(event.name))
        work.note = f"{stack}:{plans.summary(plan, done=True)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan))


@command(help={"stack": STACK, "yes": "Don't ask."})
def purge(_c: Context, stack: str = "local", yes: bool = False) -> None:
    """Delete for good the stack's workspaces that were deleted before and still block their name. Never a living one.

    Example: invoke purge --stack local
    """
    from console.ask import agreed
    from console.yard import Yard

    yard = Yard.here()
    names = ", ".join(yard.spec(stack).workspaces)
    if not yes and not agreed(f"Delete for good what is left of {names}, with its runs and models?", stack):
        say("  nothing was deleted")
        sys.exit(1)
    purged = yard.purge(stack)
    print(f"  free now: {', '.join(purged)}" if purged else "  nothing to purge")


@command(help={"stack": STACK, "json": JSON})
def recover(_c: Context, stack: str = "local", json: bool = False) -> None:
    """Put right what a killed engine, provider or emulator left: locks, orphans, what was made and not recorded.

    Example: invoke recover --stack local
    """
    from console import recovering
    from console.progress import step
    from console.table import plural
    from console.yard import Yard

    with step("recover", f"comparing stack {stack} with the cloud") as work:
        facts = Yard.here().recover(stack)
        work.note = f"{stack}: {plural(len(facts), 'thing')} found" if facts else f"{stack}: as it should be"
    if json:
        dump({"stack": stack, "facts": [asdict(fact) for fact in facts]})
    else:
        print("\n".join(recovering.lines(facts, stack)))


@command(positional=["stack"], help={"stack": STACK})
def env(_c: Context, stack: str) -> None:
    """Print the variables with which plain pulumi and az see the stack's cloud.

    Example: eval "$(invoke env local)" && pulumi preview -s local
    """
    from console.yard import Yard

    for name, value in sorted(Yard.here().variables(stack).items()):
        print(f"export {name}={shlex.quote(value)}")


@command(positional=["key"], help={"key": "Name of the config key that the stack's file names.", "stack": STACK})
def secret(_c: Context, key: str, stack: str = "local") -> None:
    """Keep a secret, encrypted, for the stack. Read from the terminal or from standard input, never an argument.

    Example: invoke secret cluster-password --stack local < password.txt
    """
    from console.ask import secret_value
    from console.yard import Yard

    Yard.here().keep_secret(stack, key, secret_value(key))
    print(f"  {key} is kept, encrypted, in stacks/Pulumi.{stack}.yaml")


@command(help={"stack": STACK, "json": JSON, "online": ONLINE})
def targets(_c: Context, stack: str = "local", online: bool = False, json: bool = False) -> None:
    """List what jobs can run on, with its live state.

    Example: invoke targets --stack local
    """
    from console import listings
    from console.yard import Yard

    rows = Yard.here().targets(stack, online=online)
    if json:
        dump(rows)
    else:
        print("\n".join(listings.targets(rows)))


@command()
def schema(_c: Context) -> None:
    """Write the JSON Schema of stack files and the pages of targets and jobs anew; for those who change the models."""
    from specs import jobs_page, targets_page
    from specs import schema as stack_files

    for file, text in (
        (stack_files.FILE, stack_files.stack_schema()),
        (targets_page.FILE, targets_page.targets_page()),
        (jobs_page.FILE, jobs_page.jobs_page()),
    ):
        if Path(file).parent.is_dir():  # a team's own repository has no docs/ of ours
            Path(file).write_text(text, "utf-8")
            print(f"  {file}")
