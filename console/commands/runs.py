"""Runs: submit, look, follow, cancel, download."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from console.commands.base import JSON, STACK, command, dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invoke import Context


@command(
    many=True,
    positional=["job"],
    iterable=["set_", "secret", "allow_secret"],
    help={
        "job": "A job file in Azure ML's CLI v2 schema.",
        "target": "Run it there instead of where the file says.",
        "stack": STACK,
        "set_": "Change a field of the file for this run, as in az ml: PATH=VALUE; several follow, or repeat it.",
        "secret": "Name of a variable of this shell that the job gets; its value is written nowhere. Repeatable.",
        "allow_secret": "A file of the code, or a field of the job file, that only looks like a secret. Repeatable.",
        "exact": "Refuse an environment that can only be had translated or substituted.",
        "detach": "Return when the job is accepted instead of streaming its log.",
        "json": JSON,
    },
)
def submit(
    _c: Context,
    job: list[str],
    target: str | None = None,
    stack: str = "local",
    set_: list[str] | None = None,
    secret: list[str] | None = None,
    allow_secret: list[str] | None = None,
    exact: bool = False,
    detach: bool = False,
    json: bool = False,
) -> None:
    """Submit a job and stream its log. Ctrl-C detaches; the run goes on.

    Examples:
      invoke submit examples/digits/job.yml
      invoke submit examples/digits/job.yml --target local
      invoke submit job.yml --set inputs.C=0.5 resources.instance_count=2
      invoke submit job.yml --set compute=azureml:cpu-cluster --set tags.reason="a second try" --detach
      invoke submit job.yml --target gpu-box --secret HF_TOKEN

    """
    from console.running import Asked, submit_and_follow
    from console.yard import Yard
    from runtime.job_secrets import from_shell
    from runtime.site import Options

    file, overrides = settings(job, set_ or [], sys.argv)
    values = from_shell(secret or [], os.environ)
    options = Options(exact=exact, secrets=values, allow_secrets=tuple(allow_secret or ()))
    asked = Asked(target=target, stack=stack, overrides=overrides, options=options)
    run = submit_and_follow(Yard.here(), file, asked, follow=not detach, quiet=json)
    if json:
        dump(run.document())
    sys.exit(0 if run.state == "Completed" or detach else 1)


def settings(words: list[str], given: list[str], argv: Sequence[str]) -> tuple[str, list[str]]:
    """Tell the job's file from the settings that follow one of `--set`, and put these in their order. Pure.

    Raises `SpecError` for no file, or more than one.
    """
    from specs.problems import Problem, SpecError

    more = [word for word in words if given and "=" in word and not Path(word).exists()]
    files = [word for word in words if word not in more]
    if len(files) != 1:
        said = "no job file is given. Name one."
        if files:
            said = "is one too many: a run has one job file, and a setting is PATH=VALUE."
        shown = f'"{files[1]}"' if files else None
        raise SpecError([Problem("invoke submit", 0, 0, "job", said, given=shown, rule="job-file")])
    last = {word.removeprefix("--set="): index for index, word in enumerate(argv)}
    return files[0], sorted([*given, *more], key=lambda word: last.get(word, 0))


LIST_HELP = {
    "stack": "Only this stack's (default: all of this project).",
    "target": "Only those on this target.",
    "state": "Only those in this state: Running, Completed, Failed, Canceled, Queued, ...",
    "experiment": "Only those of this experiment.",
    "last": "Only the newest N.",
    "watch": "Go on, every 2 s; in a pipe a line for what changed. Ctrl-C leaves.",
    "json": JSON,
}


@command(default=True, name="list", help=LIST_HELP)
def runs_list(
    _c: Context,
    stack: str | None = None,
    target: str | None = None,
    state: str | None = None,
    experiment: str | None = None,
    last: str | None = None,
    watch: bool = False,
    json: bool = False,
) -> None:
    """List runs, newest first: state, target, duration, last metrics; a running one with the course of them.

    Examples:
      invoke runs --last 10
      invoke runs --state failed --experiment digits
      invoke runs --watch

    """
    from console import run_list
    from console.yard import Yard

    yard = Yard.here()
    chosen = run_list.chosen(stack, target, state, experiment, last)
    if watch:
        from console.watch import watch as redraw

        redraw(lambda: run_list.lines(yard, chosen, json=json))
    elif json:
        dump([run.document() for run in run_list.find(yard, chosen)])
    else:
        print("\n".join(line.text for line in run_list.lines(yard, chosen)))


RUN = "A run's id; see: invoke runs."
RUNS = "One id or more; see: invoke runs."
WORKSPACE = "ARM id of its workspace, on a machine that never submitted the run."


@command(
    positional=["run"],
    name="show",
    help={
        "run": RUN,
        "json": JSON,
        "html": "Write one page with everything, for a browser: no server, no network.",
        "to": "File of the page (default: downloads/RUN.html).",
        "workspace": WORKSPACE,
    },
)
def runs_show(
    _c: Context, run: str, json: bool = False, html: bool = False, to: str | None = None, workspace: str | None = None
) -> None:
    """Show one run: where, when, how it ended, attempts, parameters, environment, code, metrics, files.

    Examples:
      invoke runs.show digits-quiet-heron
      invoke runs.show digits-quiet-heron --html

    """
    from console import run_facts, run_listings
    from console.yard import Yard

    found = Yard.here().run(run, workspace)
    if html:
        from console import run_page

        page = run_page.write(found, Path(to or f"downloads/{found.id}.html"))
        print(f"  {page}")
        return
    facts = run_facts.gather(found)
    if json:
        dump({**found.document(), "tags": facts.tags, "files": dict(facts.files), "notes": facts.notes})
    else:
        print("\n".join(run_listings.run(found, facts)))


@command(
    positional=["run"],
    iterable=["log"],
    help={
        "run": RUN,
        "log": "Only this log: its name, or a rank. Alone, it comes byte by byte. May be repeated.",
        "list": "Only name the logs that there are.",
        "follow": "Go on until the run ends (the default); --no-follow: print what is there.",
        "tail": "Begin N lines before the end of what is there.",
        "workspace": WORKSPACE,
    },
)
def logs(
    _c: Context,
    run: str,
    log: list[str],
    list: bool = False,
    follow: bool = True,
    tail: str | None = None,
    workspace: str | None = None,
) -> None:
    """Print a run's logs from their beginning, and go on until it ends. Works from any machine, with --workspace.

    A line of one of several logs begins with the rank of its process.

    Examples:
      invoke logs digits-quiet-heron
      invoke logs digits-quiet-heron --log 1 --tail 20 --no-follow

    """
    from console import run_facts
    from console.running import follow_logs
    from console.yard import Yard
    from runtime import loglines

    found = Yard.here().run(run, workspace)
    if list or (found.terminal and log):
        names = loglines.chosen(run_facts.log_names(found), log)
        if list:
            print("\n".join(f"  {name}" for name in names) or "  no logs yet")
            return
    count = whole_number("--tail", tail)
    sys.exit(follow_logs(found, loglines.Wanted(only=tuple(log), tail=count, follow=follow)))


@command(
    positional=["run"],
    help={
        "run": RUN,
        "history": "Every value of this metric.",
        "csv": "Print CSV: metric, step, value, milliseconds since 1970.",
        "json": JSON,
        "workspace": WORKSPACE,
    },
)
def metrics(
    _c: Context,
    run: str,
    history: str | None = None,
    csv: bool = False,
    json: bool = False,
    workspace: str | None = None,
) -> None:
    """Show what a run has logged: last, least and most of each metric, or every value of one.

    Examples:
      invoke runs.metrics digits-quiet-heron
      invoke runs.metrics digits-quiet-heron --history accuracy --csv

    """
    from console import run_facts, run_listings
    from console.yard import Yard

    found = Yard.here().run(run, workspace)
    series = {history: run_facts.metric(found, history)} if history else run_facts.series(found, sorted(found.metrics))
    if csv:
        run_listings.as_csv(series, sys.stdout)
    elif json:
        dump({name: [point._asdict() for point in points] for name, points in series.items()})
    elif history:
        print("\n".join(run_listings.history(history, series[history])))
    else:
        print("\n".join(run_listings.metrics(series)))


@command(many=True, positional=["run"], help={"run": "Two ids or more; see: invoke runs.", "json": JSON})
def compare(_c: Context, run: list[str], json: bool = False) -> None:
    """Compare runs: metrics side by side with the best marked, and what was different about them.

    Example: invoke runs.compare digits-quiet-heron digits-brave-lark
    """
    from console import run_listings
    from console.yard import Yard
    from runtime import compare as comparing
    from runtime.errors import Problem, SpecError

    if len(set(run)) < 2:  # noqa: PLR2004 - one run is no comparison
        message = "name two runs or more. To see them: invoke runs"
        raise SpecError([Problem("invoke runs.compare", 0, 0, "run", message, given=" ".join(run), rule="compare")])
    yard = Yard.here()
    found = comparing.compare([yard.run(name).record for name in dict.fromkeys(run)])
    if json:
        dump(found.document())
    else:
        print("\n".join(run_listings.compared(found)))


@command(many=True, positional=["run"], help={"run": RUNS, "workspace": WORKSPACE, "json": JSON})
def cancel(_c: Context, run: list[str], workspace: str | None = None, json: bool = False) -> None:
    """Cancel one run or several. Kept even when a target can't be reached now.

    Examples:
      invoke cancel digits-quiet-heron
      invoke cancel digits-quiet-heron digits-brave-lark

    """
    from console import canceling
    from console.yard import Yard

    done = canceling.cancel(Yard.here(), run, workspace)
    if json:
        dump([{"id": item.id, "state": item.state, "done": item.done, "error": item.error} for item in done])
    else:
        print("\n".join(f"  {item.text}" for item in done if not item.error))
    canceling.raise_first(done)


@command(
    positional=["run"],
    help={
        "run": RUN,
        "to": "Folder (default: downloads/RUN).",
        "follow": "Go on, and fetch what is new, until the run has ended.",
        "workspace": WORKSPACE,
        "json": JSON,
    },
)
def download(
    _c: Context,
    run: str,
    to: str | None = None,
    follow: bool = False,
    workspace: str | None = None,
    json: bool = False,
) -> None:
    """Download a run's outputs and logs: what is new or changed since the last time, also while it runs.

    Never writes outside the folder. A file there that is not from this run, or that you changed, stays and is named.

    Examples:
      invoke download digits-quiet-heron
      invoke download digits-quiet-heron --follow --to results

    """
    from console.fetching import fetch
    from console.yard import Yard

    found = Yard.here().run(run, workspace)
    done = fetch(found, Path(to or f"downloads/{found.id}"), follow=follow, quiet=json)
    if json:
        dump({"folder": str(done.folder), "written": done.written, "already": done.already})


def whole_number(option: str, given: str | None) -> int | None:
    """Read a number that is not negative. Raises `SpecError`."""
    from runtime.errors import Problem, SpecError

    if given is None or given.isdecimal():
        return None if given is None else int(given)
    message = "must be a whole number, 0 or more."
    raise SpecError([Problem("the command", 0, 0, option, message, given=f'"{given}"', rule="number")])
