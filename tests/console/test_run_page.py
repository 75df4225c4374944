"""The page about one run: well-formed, whole in itself, and nothing that a job wrote is markup on it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from console import run_charts, run_page
from console.run_facts import Facts
from runtime.errors import ConnectionLostError, SpecError
from runtime.site import Point
from tests.console import runs_kit as kit

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.runs import Run
    from runtime.site import Site

pytestmark = pytest.mark.usefixtures("utc")
utc = kit.utc

EVIL = (
    "</title></pre><script>alert('x')</script><img src=http://evil.example/x onerror=\"alert(1)\">{{ 7*7 }}\x00\x1b[31m"
)
VOID = {"meta", "br", "img", "link", "input", "hr"}
MAY = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "div", "span", "p", "b"),
    *("h1", "h2", "dl", "dt", "dd", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "a", "br"),
    *("details", "summary", "pre", "svg", "g", "rect", "path", "text", "circle"),
}


class Reader(HTMLParser):
    """Reads a page: fails where tags don't balance; remembers tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return kit.a_site(tmp_path)


def read(run: Run, tmp_path: Path) -> Reader:
    return Reader(run_page.write(run, tmp_path / "page.html").read_text("utf-8"))


def test_a_page_has_everything_about_a_run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.Told(
        files={"outputs/model.pkl": b"w" * 4100},
        logs={"azureml-logs/20_image_build_log.txt": b"built\n", "user_logs/std_log.txt": b"one\ntwo\n"},
        series={"accuracy": kit.points(0.5, 0.7, 0.9), "test_f1": kit.points(0.8)},
    ).use(monkeypatch)
    monkeypatch.setattr("console.run_facts.tags", lambda _run: {"team": "research"})
    run = kit.a_run(
        site, state="Completed", duration_s=65.0, started=kit.NOON, metrics={"accuracy": 0.9, "test_f1": 0.8},
        parameters={"C": "0.5"}, environment="digits", fidelity="translated", attempt=2, retry="preemption",
        attempts=[{"number": 1, "job": "digits-quiet-heron", "reason": "NodePreempted", "ended": kit.NOON}],
        git={"mlflow.source.git.commit": "3f9a1c"},
    )  # fmt: skip
    page = read(run, tmp_path)
    assert page.texts["h1"] == page.texts["title"][:1] == ["digits-quiet-heron"]
    assert page.texts["h2"] == [
        *("Metrics", "Run", "Parameters", "Environment", "Code", "Tags", "Attempts", "Files", "Logs"),
    ]
    assert page.texts["p"] == ["· cpu-cluster · 2020-01-02 12:00:00, took 1 min 5 s"]
    assert page.texts["dt"] == [
        *("target", "experiment", "created", "started", "retry", "workspace"),
        *("C", "environment", "fidelity", "commit", "team"),
    ]
    assert page.texts["b"] == ["0.8", "accuracy"]
    assert page.texts["td"] == [
        *("1", "digits-quiet-heron", "-", "2020-01-02 12:00:00", "NodePreempted"),
        *("2", "digits-quiet-heron-attempt-2", "2020-01-02 12:00:00", "-", "Completed"),
        *("outputs/model.pkl", "4.1 kB"),
    ]
    assert page.texts["summary"] == ["azureml-logs/20_image_build_log.txt", "user_logs/std_log.txt"]
    assert page.texts["pre"] == ["built", "one\ntwo"]
    assert page.texts["text"] == [*("0.5", "0.6", "0.7", "0.8", "0.9"), *("1", "2", "3"), "step", "accuracy"]
    assert page.texts["title"][1:] == ["1: 0.5", "2: 0.7", "3: 0.9"]


def test_nothing_is_fetched_from_anywhere_and_nothing_is_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.Told(logs={"user_logs/std_log.txt": b"x\n"}, series={"f1": kit.points(1, 2)}).use(monkeypatch)
    run_page.write(kit.a_run(site, state="Completed", metrics={"f1": 2.0}), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text("utf-8")
    assert re.findall(r"https?:|//[a-z]|url\(|@import|<script|javascript:|\bon[a-z]+=", html) == []
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html
    assert set(Reader(html).tags) <= MAY


def test_what_a_job_wrote_is_text_and_never_markup(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.Told(
        files={"outputs/" + EVIL: b"x", "javascript:alert(1)": b"x"},
        logs={"user_logs/" + EVIL: EVIL.encode() + b"\n\xff 10%\r 20%\n"},
        series={EVIL: kit.points(1, 2), "b" + EVIL: kit.points(1)},
    ).use(monkeypatch)
    monkeypatch.setattr("console.run_facts.tags", lambda _run: {EVIL: EVIL})
    run = kit.a_run(
        site, state="Failed", target=EVIL, reason=EVIL, experiment=EVIL, display_name=EVIL, job=EVIL, environment=EVIL,
        parameters={EVIL: EVIL}, git={"mlflow.source.git.branch": EVIL}, metrics={EVIL: 2.0, "b" + EVIL: 1.0},
        attempt=2, attempts=[{"number": 1, "job": EVIL, "reason": EVIL}], stale=None,
    )  # fmt: skip
    page = read(run, tmp_path)
    assert set(page.tags) <= MAY
    assert [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "style"}] == []
    assert [value for name, value in page.attributes if name == "href"] == []
    shown = EVIL.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert page.texts["dd"].count(shown) == 7
    assert page.texts["pre"] == [EVIL.replace("\x00", "").replace("\x1b[31m", "") + "\n 20%"]


def test_a_file_that_is_on_this_machine_is_linked_from_where_the_page_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.run_facts.tags", lambda _run: {})
    kit.Told(files={"outputs/a b#?.txt": b"x", "outputs/not here": b"x"}).use(monkeypatch)
    run = kit.a_run(site, state="Completed")
    there = tmp_path / "pages" / run.id / "outputs/a b#?.txt"
    there.parent.mkdir(parents=True)
    there.write_text("x")
    page = Reader(run_page.write(run, tmp_path / "pages/page.html").read_text("utf-8"))
    assert [value for name, value in page.attributes if name == "href"] == [f"./{run.id}/outputs/a%20b%23%3F.txt"]


def test_a_page_is_written_over_an_older_one_and_over_nothing_else(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.Told().use(monkeypatch)
    run = kit.a_run(site, state="Completed")
    run_page.write(run, tmp_path / "page.html")
    run_page.write(run, tmp_path / "page.html")
    (tmp_path / "mine.html").write_text("<!doctype html>mine")
    for target in (tmp_path / "mine.html", tmp_path):
        with pytest.raises(SpecError) as error:
            run_page.write(run, target)
        assert str(error.value) == (
            f'--to: to = "{target}"\n  exists and is no page of ours, so it was not overwritten. Choose another file.'
            "   [rule no-overwrite]"
        )
    assert (tmp_path / "mine.html").read_text() == "<!doctype html>mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html", "page.html", "project"]


def test_a_run_that_cannot_be_asked_about_has_a_page_that_says_so(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(kit.Told):
        def look(self, *_: object) -> object:  # type: ignore[override]  # it never returns
            raise ConnectionLostError("no answer: cut")

        files = history = look  # type: ignore[assignment]

    Away().use(monkeypatch)
    monkeypatch.setattr("console.run_facts.tags", lambda _run: {})
    page = read(kit.a_run(site, state="Completed", metrics={"f1": 0.5}), tmp_path)
    assert page.texts["footer"][:3] == [
        "files: no answer: cut",
        "The course of the metrics is not known: no answer: cut",
        "The logs are not known: no answer: cut",
    ]
    assert page.texts["b"] == ["0.5"]
    stale = read(kit.a_run(site, state="Running", metrics={"f1": 0.5}, stale="no answer"), tmp_path)
    assert stale.texts["footer"][0] == "Not asked anew: no answer"
    assert stale.texts["span"][0] == "Running (as last seen)"


def test_metrics_without_steps_are_drawn_in_the_order_of_logging() -> None:
    same = [Point(value, 0, 0) for value in (3.0, 1.0, 2.0)]
    assert run_charts.axes(same) == ("order of logging", [(1, 3.0), (2, 1.0), (3, 2.0)])
    steps = [Point(3.0, 20, 0), Point(1.0, 10, 0), Point(float("nan"), 30, 0), Point(float("inf"), 30, 0)]
    assert run_charts.axes(steps) == ("step", [(10, 1.0), (20, 3.0)])


def test_a_value_that_is_no_number_is_counted_and_not_drawn() -> None:
    points = [Point(value, step, 0) for step, value in enumerate([1.0, float("nan"), 2.0])]
    assert run_page.plot("f1", points, "m").words == "last 2; 1 not finite"


def test_a_long_course_keeps_its_peaks() -> None:
    pairs = [(float(step), float(step == 777)) for step in range(10_000)]
    found = run_charts.thinned(pairs)
    assert len(found) <= run_charts.POINTS_MOST
    assert (777.0, 1.0) in found
    assert found == sorted(found)
    assert run_charts.thinned(pairs[:100]) == pairs[:100]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.49, 0.92], [0.5, 0.6, 0.7, 0.8, 0.9]),
        ([0.0, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([-3.0, 40.0], [0.0, 10.0, 20.0, 30.0, 40.0]),
        ([5.0, 5.0], [5.0]),
        ([-1.7e308, 1.7e308], [-1e308, 0.0, 1e308]),
        ([1e300, 2e300], [1e300, 1.2e300, 1.4e300, 1.6e300, 1.8e300, 2e300]),
    ],
)
def test_round_figures_stand_beside_an_axis(values: list[float], ticks: list[float]) -> None:
    assert run_charts.Scale(values).ticks() == ticks


def test_steps_are_whole_numbers() -> None:
    assert run_charts.Scale([1, 3]).ticks(whole=True) == [1.0, 2.0, 3.0]
    assert run_charts.Scale([1, 12]).ticks(whole=True) == [5.0, 10.0]


@pytest.mark.parametrize("values", [(1.0, 1.0), (-1.7e308, 1.7e308), (5e-324, 1e-323), (1e16, 1e16 + 2), (0.0, -0.0)])
def test_any_finite_course_can_be_drawn(values: tuple[float, ...]) -> None:
    drawn = run_charts.chart("f1", kit.points(*values), "m")
    assert drawn.startswith('<svg id="m" class="pygal-chart" viewBox="0 0 340 215" role="img" aria-label="f1 by step">')
    assert Reader(drawn).texts["title"][-2:] == [f"{step}: {value:.6g}" for step, value in enumerate(values, 1)]


def test_a_log_shows_how_much_of_it_is_there() -> None:
    long = run_page.log("user_logs/std_log.txt", b"line\n" * 200, is_open=True)
    assert (long.words, long.text, long.open) == ("last 200 lines", "line\n" * 200, True)
    assert run_page.log("x", b"", is_open=False).words == "empty"
    assert run_page.log("x", b"one", is_open=False).words == "1 line"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.93124567, "0.931246"), (11173962.0, "11,173,962"), (-3.0, "-3"), (1e20, "1e+20"), (float("nan"), "nan")],
)
def test_a_single_value_is_written_in_full_where_it_is_whole(value: float, shown: str) -> None:
    assert run_page.figure(value) == shown


def test_many_files_are_counted() -> None:
    assert run_page._more(Facts(files=[("x", 1)] * 203)) == "and 3 more files"
    assert run_page._more(Facts(files=[("x", 1)] * 200)) == ""
