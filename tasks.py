"""The commands. Parse, call, print; what they do is elsewhere, and is imported when a command needs it."""

from __future__ import annotations

import json as json_
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Collection, Task, task

from console.failures import reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from invoke import Context

STACK = "The stack: the name of a file in stacks/ (default: local)."
JSON = "Print JSON for scripts instead of text for people."


def command(**options: object) -> Callable[[Callable[..., None]], Task]:
    """Make a task whose errors are one message and an exit code."""

    def wrap(body: Callable[..., None]) -> Task:
        return task(**options)(reported(body))

    return wrap


def dump(value: object) -> None:
    """Print a value as JSON."""
    print(json_.dumps(value, indent=1, ensure_ascii=False, default=str))


# --- the platform ---


@command(help={"json": JSON})
def setup(_c: Context, json: bool = False) -> None:
    """Find or get the Pulumi engine; takes some minutes the first time where it must be built.

    Example: invoke setup
    """
    from console.progress import step
    from engine import obtain

    with step("engine", "looking for a Pulumi engine") as work:
        found = obtain.find_or_get(work.say)
        work.note = f"pulumi {found.version}, {found.origin}{' (cached)' if found.cached else ''}"
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


@command(help={"stack": STACK, "json": JSON})
def check(_c: Context, stack: str = "local", json: bool = False) -> None:
    """Check a stack's file. No network, nothing is started.

    Example: invoke check --stack prod
    """
    from console.table import plural
    from console.yard import Yard

    spec = Yard.here().spec(stack)
    computes = sum(len(item.computes) for item in spec.workspaces.values())
    if json:
        dump({"stack": stack, "ok": True, "workspaces": len(spec.workspaces), "computes": computes})
    else:
        print(
            f"  stacks/{stack}.yaml is good: {plural(len(spec.workspaces), 'workspace')}, {plural(computes, 'compute')}"
        )


@command(help={"stack": STACK, "json": JSON})
def preview(_c: Context, stack: str = "local", json: bool = False) -> None:
    """Say what `up` would change. Changes nothing.

    Example: invoke preview --stack local
    """
    from console import plans
    from console.progress import step
    from console.yard import Yard

    with step("preview", f"planning stack {stack}") as work:
        plan = Yard.here().preview(stack, lambda event: work.say(f"{event.op} {event.name}"))
        work.note = f"{stack}:{plans.summary(plan)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan))
    else:
        print("\n".join(plans.lines(plan)))
        if not plan.empty:
            print(f"  next: invoke up --stack {stack}")


@command(
    help={
        "stack": STACK,
        "json": JSON,
        "allow-replace": "Accept that this compute or workspace is deleted and made anew; may be given again.",
    },
    iterable=["allow_replace"],
)
def up(_c: Context, allow_replace: list[str], stack: str = "local", json: bool = False) -> None:
    """Make the cloud what the stack's file says. Refuses to replace a compute or workspace unasked.

    Examples:
      invoke up --stack local
      invoke up --stack prod --allow-replace gpu-cluster

    """
    from console import plans
    from console.progress import step
    from console.yard import Yard

    with step("stack", f"deploying stack {stack}") as work:
        plan = Yard.here().up(stack, allow_replace, lambda event: work.say(f"{event.op} {event.name}"))
        work.note = f"{stack}:{plans.summary(plan, done=True)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan))


@command(help={"stack": STACK, "json": JSON, "preview-only": "Show the differences and adopt none."})
def refresh(_c: Context, stack: str = "local", preview_only: bool = False, json: bool = False) -> None:
    """Compare the stack's state with the cloud, and adopt in the state what differs.

    Example: invoke refresh --stack local --preview-only
    """
    from console import plans
    from console.progress import step
    from console.yard import Yard

    with step("refresh", f"asking the cloud about stack {stack}") as work:
        plan = Yard.here().refresh(stack, preview_only=preview_only, on_event=lambda event: work.say(event.name))
        work.note = f"{stack}:{plans.summary(plan, done=not preview_only)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan))
    else:
        print("\n".join(plans.lines(plan)))


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
        print("\n".join(plans.lines(yard.doomed(stack))))
        if not agreed(f"Delete all of this, in stack {stack}?", stack):
            print("  nothing was deleted")
            sys.exit(1)
    with step("destroy", f"deleting stack {stack}") as work:
        plan = yard.destroy(stack, purge=purge, on_event=lambda event: work.say(event.name))
        work.note = f"{stack}:{plans.summary(plan, done=True)}".replace(":  ", ": ")
    if json:
        dump(plans.as_json(plan))


@command(help={"stack": STACK})
def purge(_c: Context, stack: str = "local") -> None:
    """Delete for good the stack's workspaces that were deleted before and still block their name. Never a living one.

    Example: invoke purge --stack local
    """
    from console.yard import Yard

    looked = Yard.here().purge(stack)
    print(f"  free now: {', '.join(looked)}" if looked else "  nothing to purge: every workspace of the stack lives")


@command(help={"stack": STACK})
def recover(_c: Context, stack: str = "local") -> None:
    """Free a stack whose engine was killed: proves the holder of the lock dead, ends its orphans, unlocks.

    Example: invoke recover --stack local
    """
    from console.yard import Yard

    freed = Yard.here().unlock(stack)
    print("\n".join(f"  {line}" for line in freed) or "  nothing to recover: the stack is not locked")
    print(f"  next: invoke refresh --stack {stack} · invoke up --stack {stack}")


@command(positional=["stack"], help={"stack": STACK})
def env(_c: Context, stack: str = "local") -> None:
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
    import getpass

    from console.yard import Yard
    from engine import operations

    value = getpass.getpass(f"{key}: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    session, _ = Yard.here().session(stack)
    operations.set_secret(session, key, value)
    print(f"  {key} is kept, encrypted, in stacks/Pulumi.{stack}.yaml")


@command(help={"stack": STACK, "json": JSON})
def targets(_c: Context, stack: str = "local", json: bool = False) -> None:
    """List what jobs can run on, with its live state.

    Example: invoke targets --stack local
    """
    from console import listings
    from console.yard import Yard

    rows = Yard.here().targets(stack)
    if json:
        dump(rows)
    else:
        print("\n".join(listings.targets(rows)))


@command()
def schema(_c: Context) -> None:
    """Write the JSON Schema of stack files anew; for those who change the models."""
    from specs.schema import FILE, stack_schema

    Path(FILE).write_text(stack_schema(), "utf-8")
    print(f"  {FILE}")


# --- runs ---


@command(
    positional=["job"],
    help={
        "job": "A job file in Azure ML's CLI v2 schema.",
        "target": "Run it there instead of where the file says.",
        "stack": STACK,
        "detach": "Return when the job is accepted instead of streaming its log.",
        "json": JSON,
    },
)
def submit(
    _c: Context, job: str, target: str | None = None, stack: str = "local", detach: bool = False, json: bool = False
) -> None:
    """Submit a job and stream its log. Ctrl-C detaches; the run goes on.

    Examples:
      invoke submit examples/digits/job.yml
      invoke submit examples/digits/job.yml --target local

    """
    from console.running import submit_and_follow
    from console.yard import Yard

    run = submit_and_follow(Yard.here(), job, target, stack, follow=not detach, quiet=json)
    if json:
        dump(run.document())
    sys.exit(0 if run.state == "Completed" or detach else 1)


@command(default=True, name="list", help={"json": JSON, "stack": STACK})
def runs_list(_c: Context, stack: str = "local", json: bool = False) -> None:
    """List runs, newest first: state, target, duration, last metrics.

    Example: invoke runs --json
    """
    from console import listings
    from console.yard import Yard

    found = Yard.here().runs(stack)
    if json:
        dump([run.document() for run in found])
    else:
        print("\n".join(listings.runs(found)))


@command(positional=["run"], name="show", help={"run": "A run's id.", "json": JSON})
def runs_show(_c: Context, run: str, json: bool = False) -> None:
    """Show one run: where, when, how it ended, metrics, environment.

    Example: invoke runs.show digits-quiet-heron
    """
    from console import listings
    from console.yard import Yard

    found = Yard.here().run(run)
    if json:
        dump(found.document())
    else:
        print("\n".join(listings.run(found)))


RUN = "A run's id; see: invoke runs."
WORKSPACE = "ARM id of its workspace, on a machine that never submitted the run."


@command(positional=["run"], help={"run": RUN, "workspace": WORKSPACE})
def logs(_c: Context, run: str, workspace: str | None = None) -> None:
    """Print a run's log from its beginning, and go on until it ends. Works from any machine, with --workspace.

    Example: invoke logs digits-quiet-heron
    """
    from console.running import follow_logs
    from console.yard import Yard

    sys.exit(follow_logs(Yard.here().run(run, workspace)))


@command(positional=["run"], help={"run": RUN, "workspace": WORKSPACE})
def cancel(_c: Context, run: str, workspace: str | None = None) -> None:
    """Cancel a run. Kept even when the target can't be reached now.

    Example: invoke cancel digits-quiet-heron
    """
    from console.yard import Yard

    ended = Yard.here().run(run, workspace).cancel()
    print(f"  {run} is {ended.state}" + (f"; it will be canceled ({ended.stale})" if ended.stale else ""))


@command(positional=["run"], help={"run": RUN, "workspace": WORKSPACE, "to": "Folder (default: downloads/RUN)."})
def download(_c: Context, run: str, to: str | None = None, workspace: str | None = None) -> None:
    """Download a run's outputs and logs. Never writes outside the folder, never overwrites another file.

    Example: invoke download digits-quiet-heron
    """
    from console.table import plural, size
    from console.yard import Yard

    folder = Path(to or f"downloads/{run}")
    files = Yard.here().run(run, workspace).download(folder)
    print(f"  {plural(len(files), 'file')}, {size(sum(path.stat().st_size for path in files))} in {folder}")


# --- models and endpoints ---


@command(default=True, name="list", help={"stack": STACK, "json": JSON})
def models_list(_c: Context, stack: str = "local", json: bool = False) -> None:
    """List the registered models.

    Example: invoke models
    """
    from console import listings
    from console.yard import Yard

    found = Yard.here().models(stack)
    if json:
        dump([model.document() for model in found])
    else:
        print("\n".join(listings.models(found)))


@command(
    name="register",
    help={
        "run": "Take it from this run's outputs; `best` takes the run with the highest --metric.",
        "metric": "What `best` goes by (default: accuracy).",
        "name": "The model's name.",
        "path": "File or folder in the run's folder, e.g. outputs/model; without --run, a local path.",
        "stack": STACK,
        "json": JSON,
    },
)
def models_register(  # noqa: PLR0917 - its parameters are the command's options
    _c: Context,
    name: str,
    path: str = "outputs/model",
    run: str | None = None,
    metric: str = "accuracy",
    stack: str = "local",
    json: bool = False,
) -> None:
    """Register a model in the workspace, with the SHA-256 of every file.

    Example: invoke models.register --name digits --run best --path outputs/model
    """
    from console.yard import Yard

    model = Yard.here().register(stack, name, path, run, metric)
    if json:
        dump(model.document())
    else:
        print(f"  {model.name}:{model.version} is registered" + (f", from {model.run}" if model.run else ""))


@command(
    positional=["file"],
    help={
        "file": "A deployment file in CLI v2's schema.",
        "stack": STACK,
        "json": JSON,
        "trust": "SHA-256 of a model file that may be loaded although it can hold code; may be given again.",
    },
    iterable=["trust"],
)
def deploy(_c: Context, file: str, trust: list[str], stack: str = "local", json: bool = False) -> None:
    """Put a model behind HTTP on this machine, with Azure ML's own inference server.

    Example: invoke deploy examples/digits/deployment.yml
    """
    from console import serving
    from console.progress import step
    from console.yard import Yard

    with step("deploy", "starting the service") as work:
        service = Yard.here().deploy(stack, file, trust, work.say)
        work.note = f"{service.endpoint}  {service.model}  {service.url}"
    if json:
        dump(serving.document(service))


@command(
    positional=["endpoint"],
    help={
        "endpoint": "The endpoint's name.",
        "data": "A JSON file with `data`, and `labels` to compare with.",
        "json": JSON,
    },
)
def score(_c: Context, endpoint: str, data: str, json: bool = False) -> None:
    """Send data to an endpoint; with labels in the file, say how many answers are right.

    Example: invoke score digits --data examples/digits/unseen.json
    """
    from console import listings, serving
    from console.yard import Yard

    result = serving.score(Yard.here().project, endpoint, Path(data))
    if json:
        dump(result.document())
    else:
        print("\n".join(listings.score(result)))


@command(default=True, name="list", help={"json": JSON})
def endpoints_list(_c: Context, json: bool = False) -> None:
    """List the endpoints on this machine.

    Example: invoke endpoints
    """
    from console import listings, serving
    from console.yard import Yard
    from runtime import services

    found = services.list_services(Yard.here().project)
    if json:
        dump([serving.document(service) for service in found])
    else:
        print("\n".join(listings.services(found)))


@command(positional=["endpoint"], name="delete", help={"endpoint": "The endpoint's name."})
def endpoints_delete(_c: Context, endpoint: str) -> None:
    """Stop an endpoint of this machine and forget it.

    Example: invoke endpoints.delete digits
    """
    from console.yard import Yard
    from runtime import services

    services.delete(Yard.here().project, endpoint)
    print(f"  {endpoint} is stopped and forgotten")


# --- the emulator ---


@command(default=True, name="status", help={"json": JSON})
def emulator_status(_c: Context, json: bool = False) -> None:
    """Say whether this project's emulator runs, and where.

    Example: invoke emulator
    """
    from console.yard import Yard
    from emulator import launch

    found = launch.find(Yard.here().project.emulator_home)
    if json:
        dump({"running": found is not None, "resource_manager": found.resource_manager if found else None})
    else:
        print(
            f"  running at {found.resource_manager}" if found else "  not running. To start it: invoke emulator.start"
        )
    sys.exit(0 if found else 1)


@command(name="start")
def emulator_start(_c: Context) -> None:
    """Start this project's emulator; other commands do it when they need it."""
    from console.progress import step
    from console.yard import Yard
    from emulator import launch

    with step("emulator", "starting") as work:
        work.note = launch.ensure(Yard.here().project.emulator_home).resource_manager


@command(name="stop")
def emulator_stop(_c: Context) -> None:
    """Stop this project's emulator. Nothing is lost; running jobs go on and are found again at the next start."""
    from console.yard import Yard
    from emulator import launch

    stopped = launch.stop(Yard.here().project.emulator_home)
    print("  stopped" if stopped else "  it was not running")


# --- all of it at once ---


@command(help={"stack": STACK})
def demo(_c: Context, stack: str = "local") -> None:
    """Run the whole line once, as a story: deploy, train on two targets, register, serve, score.

    Example: invoke demo
    """
    from console.demo import tell
    from console.yard import Yard

    tell(Yard.here(), stack)


def collection(**tasks: Task) -> Collection:
    """Group tasks under one word; the default one answers to the word alone."""
    found = Collection()
    for item in tasks.values():
        found.add_task(item)
    return found


namespace = Collection(
    setup, doctor, check, preview, up, refresh, destroy, purge, recover, env, secret, targets, schema,
    submit, logs, cancel, download, deploy, score, demo,
)  # fmt: skip
namespace.add_collection(collection(list=runs_list, show=runs_show), "runs")
namespace.add_collection(collection(list=models_list, register=models_register), "models")
namespace.add_collection(collection(list=endpoints_list, delete=endpoints_delete), "endpoints")
namespace.add_collection(collection(status=emulator_status, start=emulator_start, stop=emulator_stop), "emulator")
