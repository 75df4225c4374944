"""What a person reads about runs: the list, one run, metrics, a comparison, a cancel."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from console import canceling, run_facts, run_list, run_listings
from console.commands.words import given
from console.run_facts import Facts
from console.running import Margin
from console.watch import Line, watch
from console.yard import Yard
from runtime import site as sites
from runtime.compare import compare
from runtime.errors import NotFoundError, SpecError
from tests.console import runs_kit as kit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runtime.runs import Run
    from runtime.site import Site


pytestmark = pytest.mark.usefixtures("utc")
utc = kit.utc


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return kit.a_site(tmp_path)


def test_the_list_shows_each_state_in_its_own_words_and_how_a_running_run_goes(site: Site) -> None:
    found = [
        kit.a_run(site, state="Completed", duration_s=14.0, metrics={"accuracy": 0.972, "loss": 0.104}),
        kit.a_run(site, "lark", kind="Local", target="local", state="Running", metrics={"accuracy": 0.958}),
        kit.a_run(site, "otter", state="Queued", attempt=2),
        kit.a_run(site, "raven", state="Running", attempt=3),
        kit.a_run(site, "crane", state="Running", cancel_requested=True),
        kit.a_run(site, "stork", state="Running", stale="no answer"),
    ]
    assert run_listings.runs(found, {("lark", "accuracy"): [0.1, 0.4, 0.7, 0.958]}) == [
        "  RUN                 TARGET       STATE                         STARTED           TOOK  ACCURACY    LOSS",
        "  digits-quiet-heron  cpu-cluster  Completed                     2020-01-02 12:00  14 s  0.972       0.104",
        "  lark                local        Running                       2020-01-02 12:00  -     0.958 ▁▃▆█  -",
        "  otter               cpu-cluster  Preempted → attempt 2 Queued  2020-01-02 12:00  -     -           -",
        "  raven               cpu-cluster  Running (attempt 3)           2020-01-02 12:00  -     -           -",
        "  crane               cpu-cluster  Running, to be canceled       2020-01-02 12:00  -     -           -",
        "  stork               cpu-cluster  Running (as last seen)        2020-01-02 12:00  -     -           -",
        "  cpu-cluster: no answer",
    ]
    assert run_listings.runs([]) == ["  no such runs. To submit one: invoke submit examples/digits/job.yml"]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([1.0], ""),
        ([0.0, 7.0], "▁█"),
        ([5.0, 5.0, 5.0], "▁▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        (list(range(1000)), "▁▂▃▄▅▆▇█"),
        ([1.0, float("nan"), float("inf"), 0.0], "█▁"),
    ],
)
def test_a_course_is_drawn_in_at_most_eight_letters(values: list[float], drawn: str) -> None:
    assert run_listings.spark(values) == drawn


def test_one_run_is_shown_with_all_that_is_known(site: Site) -> None:
    run = kit.a_run(
        site, state="Failed", reason="the command exited with code 7", exit_code=7, duration_s=65.0,
        environment="digits", fidelity="translated", snapshot="53846bec", retry="preemption", attempt=2,
        attempts=[{"number": 1, "job": "digits-quiet-heron", "reason": "NodePreempted", "ended": kit.NOON}],
        parameters={"C": "0.5"}, git={"mlflow.source.git.commit": "3f9a1c", "azureml.git.dirty": "False"},
        metrics={"accuracy": 0.5}, started=kit.NOON,
    )  # fmt: skip
    facts = Facts(tags={"team": "a"}, files=[("outputs/model.pkl", 4100), ("user_logs/std_log.txt", 12)])
    assert run_listings.run(run, facts) == [
        "  run           digits-quiet-heron",
        "  state         Failed (attempt 2): the command exited with code 7",
        "  target        cpu-cluster (AmlCompute)",
        "  experiment    digits",
        "  created       2020-01-02 12:00:00",
        "  started       2020-01-02 12:00:00",
        "  took          1 min 5 s",
        "  exit code     7",
        "  environment   digits (translated)",
        "  snapshot      53846bec",
        "  retry         after a preemption",
        f"  workspace     {run.record.workspace_id}",
        "  attempts",
        "    1           NodePreempted, 2020-01-02 12:00:00",
        "    2           Failed",
        "  parameters",
        "    C           0.5",
        "  code",
        "    commit       3f9a1c",
        "    uncommitted  no",
        "  metrics",
        "    accuracy    0.5",
        "  tags",
        "    team        a",
        "  files (2 files, 4.1 kB)",
        "    outputs/model.pkl      4.1 kB",
        "    user_logs/std_log.txt  12 B",
        "  next: invoke logs digits-quiet-heron · invoke download digits-quiet-heron"
        " · invoke runs.show digits-quiet-heron --html",
    ]


def test_a_run_with_many_files_names_the_first_and_counts_the_rest(site: Site) -> None:
    facts = Facts(files=[(f"outputs/{number:02}", 1) for number in range(22)])
    lines = run_listings.run(kit.a_run(site, state="Running"), facts)
    assert lines[lines.index("  files (22 files, 22 B)") + 20 :] == [
        "    outputs/19  1 B",
        "    and 2 more",
        "  next: invoke logs digits-quiet-heron · invoke download digits-quiet-heron"
        " · invoke runs.show digits-quiet-heron --html · invoke cancel digits-quiet-heron",
    ]


def test_metrics_are_listed_and_written_as_csv() -> None:
    series = {"loss": kit.points(0.5, 0.25, 0.3), "f1": kit.points(0.9)}
    assert run_listings.metrics(series) == [
        "  METRIC  LAST  LEAST  MOST  VALUES  COURSE",
        "  f1      0.9   0.9    0.9   1       -",
        "  loss    0.3   0.25   0.5   3       █▁▂",
    ]
    assert run_listings.history("loss", series["loss"]) == [
        "  STEP  LOSS  LOGGED",
        "  1     0.5   2026-11-21 13:09:27",
        "  2     0.25  2026-11-21 13:09:27",
        "  3     0.3   2026-11-21 13:09:27",
    ]
    out = io.StringIO()
    run_listings.as_csv({"a,b": kit.points(0.1)}, out)
    assert out.getvalue() == 'metric,step,value,timestamp\n"a,b",1,0.1,1795266567001\n'
    assert run_listings.metrics({}) == ["  no metrics. A script logs one with mlflow.log_metric(name, value, step)"]


def test_a_metric_that_was_not_logged_is_refused_with_those_that_were(site: Site) -> None:
    with pytest.raises(SpecError) as error:
        run_facts.metric(kit.a_run(site, metrics={"loss": 1.0, "f1": 0.5}), "los")
    assert str(error.value) == (
        'the command: --history = "los"\n'
        "  digits-quiet-heron has logged no such metric. Allowed: f1, loss.   [rule metric]"
    )


def test_runs_are_compared_side_by_side(site: Site) -> None:
    records = [
        kit.a_run(site, "heron", state="Completed", metrics={"f1": 0.9, "epoch": 3}, parameters={"C": "1"}).record,
        kit.a_run(site, "lark", state="Completed", metrics={"f1": 0.8}, parameters={"C": "2"}).record,
    ]
    assert run_listings.compared(compare(records)) == [
        "  METRIC  heron  lark  BETTER",
        "  epoch   3      -     -",
        "  f1      0.9 *  0.8   higher",
        "",
        "  PARAMETER  heron  lark",
        "  C          1      2",
        "",
        "  DIFFERENCE  heron      lark",
        "  state       Completed  Completed",
        "  * the best; whether lower or higher is better is judged by the metric's name",
    ]


class ListedYard(Yard):
    """A project with these runs."""

    def set(self, runs: list[Run]) -> ListedYard:
        object.__setattr__(self, "_runs", runs)
        return self

    __slots__ = ("_runs",)
    _runs: list[Run]

    def runs(
        self, stack: str | None, chosen: Callable[[Run], bool] | None = None, last: int | None = None
    ) -> list[Run]:
        return [run for run in self._runs if chosen is None or chosen(run)][:last]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((None, None, None, None, None), ["c", "b", "a"]),
        ((None, "local", None, None, None), ["c", "a"]),
        ((None, None, "running", None, None), ["c", "b"]),
        ((None, None, "Running", None, "1"), ["c"]),
        ((None, None, "Failed", None, "1"), ["a"]),
        ((None, None, None, "taxi", None), ["b"]),
        ((None, "local", None, None, "1"), ["c"]),
        ((None, "nowhere", None, None, None), []),
    ],
)
def test_runs_are_chosen(site: Site, options: tuple[str | None, ...], expected: list[str]) -> None:
    yard = ListedYard(site.project).set([
        kit.a_run(site, "c", target="local", state="Running"),
        kit.a_run(site, "b", experiment="taxi", state="Running"),
        kit.a_run(site, "a", target="local", state="Failed"),
    ])  # fmt: skip
    assert [run.id for run in run_list.find(yard, run_list.chosen(*options))] == expected


@pytest.mark.parametrize(
    ("state", "last", "message"),
    [
        ("runing", None, '--state = "runing"\n  no such state. Allowed: CancelRequested, Canceled, Completed, '),
        (None, "0", '--last = "0"\n  must be a whole number, 1 or more.'),
        (None, "ten", '--last = "ten"\n  must be a whole number, 1 or more.'),
    ],
)
def test_options_that_mean_nothing_are_refused(state: str | None, last: str | None, message: str) -> None:
    with pytest.raises(SpecError) as error:
        run_list.chosen(None, None, state, None, last)
    assert str(error.value).startswith(f"the command: {message}")


def test_only_the_runs_that_are_listed_are_asked_about(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    told = kit.Told(state="Running").use(monkeypatch)
    look = told.look
    monkeypatch.setattr(told, "look", lambda site, record: (asked.append(record.id), look(site, record))[1])
    for name in ("a", "b", "c"):
        site.store.insert(kit.a_run(site, name, kind="Local", state="Running", metrics_final=False).record)
    monkeypatch.setattr(sites, "open_site", lambda *_: site)
    found = Yard(site.project).runs(None, lambda run: run.id != "c", 1)
    assert ([run.id for run in found], asked) == (["b"], ["b"])


def test_a_line_of_the_list_changes_with_the_state_and_the_metrics_but_not_with_the_clock(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.Told(series={"f1": kit.points(0.1, 0.2)}).use(monkeypatch)
    yard = ListedYard(site.project)

    def keys(**changes: object) -> list[object]:
        yard.set([kit.a_run(site, "a", state="Running", **changes)])
        return [line.key for line in run_list.lines(yard, run_list.Chosen())]

    first = keys(duration_s=1.0, metrics={"f1": 0.2})
    assert keys(duration_s=3.0, metrics={"f1": 0.2}) == first
    assert keys(duration_s=3.0, metrics={"f1": 0.3}) != first
    (line,) = run_list.lines(yard, run_list.Chosen(), json=True)
    assert json.loads(line.text)["id"] == "a"


def test_a_watch_in_a_pipe_prints_what_changed_and_leaves_quietly() -> None:
    drawn = iter([
        [Line("head", "RUN STATE"), Line(1, "a Running 1 s"), Line(2, "b Queued")],
        [Line("head", "RUN STATE"), Line(1, "a Running 3 s"), Line(2, "b Queued")],
        [Line("head", "RUN STATE"), Line(3, "a Completed"), Line(2, "b Queued")],
    ])  # fmt: skip

    def draw() -> Sequence[Line]:
        found = next(drawn, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    out = io.StringIO()
    watch(draw, 0.0, out)
    assert out.getvalue().splitlines() == ["RUN STATE", "a Running 1 s", "b Queued", "a Completed"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_watch_on_a_terminal_draws_over_itself() -> None:
    left = [[Line(1, "a Running")], [Line(2, "a Completed [b]")]]

    def draw() -> Sequence[Line]:
        if not left:
            raise KeyboardInterrupt
        return left.pop(0)

    out = Terminal()
    watch(draw, 0.0, out)
    assert "a Running" in out.getvalue()
    assert "a Completed [b]" in out.getvalue()
    assert "every 0 s; Ctrl-C leaves" in out.getvalue()


def test_several_runs_are_canceled_whatever_becomes_of_one(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kit.Told(state="Running").use(monkeypatch)
    runs = {name: kit.a_run(site, name, state="Running") for name in ("a", "b")}
    runs["old"] = kit.a_run(site, "old", state="Completed")
    for run in runs.values():
        site.store.insert(run.record)

    class OneYard(Yard):
        def run(self, run_id: str, workspace: str | None = None) -> Run:
            if run_id not in runs:
                raise NotFoundError(f"no run {run_id}")
            return runs[run_id]

    done = canceling.cancel(OneYard(site.project), ["a", "nowhere", "b", "old", "a", "also"], None)
    assert [(item.id, item.state, item.done, item.error) for item in done] == [
        ("a", "Running", False, None),
        ("nowhere", None, False, "no run nowhere"),
        ("b", "Running", False, None),
        ("old", "Completed", True, None),
        ("also", None, False, "no run also"),
    ]
    assert [item.text for item in done if item.text] == [
        "a is being canceled; now it is Running. To see it end: invoke logs a",
        "b is being canceled; now it is Running. To see it end: invoke logs b",
        "old is Completed already; there is nothing to cancel",
    ]
    with pytest.raises(NotFoundError, match=r"^no run nowhere$"):
        canceling.raise_first(done)
    assert capsys.readouterr().err == "error: no run also\n"


def test_a_cancel_that_could_not_be_sent_says_who_sends_it(site: Site) -> None:
    before = kit.a_run(site, "a", state="Running")
    assert canceling.words(before, kit.a_run(site, "a", state="Running", stale="no answer")) == (
        "a is to be canceled; its target can't be asked now (no answer), the next command does it"
    )
    assert canceling.words(before, kit.a_run(site, "a", state="Canceled")) == "a is Canceled"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["cancel", "a", "b"], ["a", "b"]),
        (["cancel", "a", "--json", "b"], ["a", "b"]),
        (["cancel", "--workspace", "W", "a", "--workspace=X", "b"], ["a", "b"]),
        (["runs.cancel", "-w", "W", "a"], ["a"]),
        (["--echo", "cancel", "cancel"], ["cancel"]),
        (["cancel", "--help"], []),
        (["logs", "a"], []),
    ],
)
def test_the_words_of_a_command_are_counted_without_its_options(argv: list[str], expected: list[str]) -> None:
    assert given(argv, "cancel", {"--workspace", "-w"}) == expected


@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        ([b"one\ntw", b"o\n"], b"    | one\n    | two\n"),
        ([b" 10%\r 20%\r\n"], b"    |  10%\r    |  20%\r\n"),
        ([b"a\r", b"\nb"], b"    | a\r\n    | b"),
        ([b"\n\n"], b"    | \n    | \n"),
        ([], b""),
    ],
)
def test_a_jobs_lines_are_set_apart_on_a_terminal(chunks: list[bytes], shown: bytes) -> None:
    out = io.BytesIO()
    margin = Margin(out)
    for chunk in chunks:
        assert margin.write(chunk) == len(chunk)
    margin.flush()
    assert out.getvalue() == shown


def test_the_end_of_a_log_is_cut_by_lines_and_by_size() -> None:
    assert run_facts.tail([b"one\ntw", b"o\nthree"], 2) == b"two\nthree"
    assert run_facts.tail([b"x" * 300_000, b"y\n"], 200) == b"x" * (run_facts.TAIL_BYTES - 2) + b"y\n"
    assert run_facts.tail([], 2) == b""
