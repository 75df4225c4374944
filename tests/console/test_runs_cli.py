"""The commands about runs, as a user types them, on runs of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runtime import kit

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.processes
SLEEPER = "python -c \"import time; print('begun', flush=True); time.sleep(60)\""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    kit.a_project(folder)
    shutil.copy(ROOT / "tasks.py", folder)
    return folder


def invoke(project: Path, *arguments: str) -> tuple[int, bytes, str]:
    """Run a command; return its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *arguments], cwd=project, capture_output=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRAINYARD_CACHE": str(project / "cache"), "TZ": "UTC"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


def submit(project: Path, **changes: str | None) -> str:
    job = kit.a_job(project / f"job{time.monotonic_ns()}", **changes)
    code, out, errors = invoke(project, "submit", str(job), "--target", "local", "--detach", "--json")
    assert code == 0, errors
    run = json.loads(out)["id"]
    assert isinstance(run, str)
    return run


@pytest.fixture(scope="module")
def run(project: Path) -> str:
    found = submit(project)
    assert invoke(project, "logs", found)[0] == 0
    return found


def test_a_log_alone_comes_byte_by_byte_and_a_list_names_all(project: Path, run: str) -> None:
    assert invoke(project, "runs.logs", run, "--log", "std_log.txt") == (0, b"hello one two\n", said(run))
    code, out, _ = invoke(project, "logs", run, "--list")
    assert (code, out.split()) == (0, [b"azureml-logs/20_image_build_log.txt", b"user_logs/std_log.txt"])
    code, _, errors = invoke(project, "logs", run, "--log", "7")
    assert (code, errors) == (
        2,
        'error: the command: --log = "7"\n  no such log. There are azureml-logs/20_image_build_log.txt, '
        "user_logs/std_log.txt.   [rule log]\n1 error, nothing was sent.\n",
    )


def said(run: str) -> str:
    """Return how a log of a completed run ends on stderr, with the time that it took."""

    class Ends(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            text = str(other)
            return text.startswith(f"  completed     {run}   ") and text.endswith("   outputs/ 1 file, 7 B\n")

    return Ends()


def test_a_download_says_what_is_new(project: Path, run: str) -> None:
    code, out, errors = invoke(project, "download", run, "--to", "got")
    assert (code, out) == (0, b"")
    assert errors.startswith("  download    3 files, ")
    code, out, errors = invoke(project, "runs.download", run, "--to", "got", "--json")
    assert (code, json.loads(out)["written"]) == (0, [])
    assert errors.startswith("  download    nothing new in got; 3 files already there ")
    (project / "got/outputs/model.txt").write_text("mine")
    code, out, errors = invoke(project, "download", run, "--to", "got")
    assert (code, errors) == (
        2,
        "error: got/outputs/model.txt: the file\n  was changed here since it was downloaded and was not overwritten. "
        "Move it away and repeat, or choose another folder with --to.   [rule no-overwrite]\n"
        "1 error, nothing was sent.\n",
    )


def test_a_page_is_written_where_it_is_asked_for(project: Path, run: str) -> None:
    assert invoke(project, "runs.show", run, "--html", "--to", "page.html") == (0, b"  page.html\n", "")
    assert f"<h1>{run}</h1>" in (project / "page.html").read_text()
    code, out, _ = invoke(project, "runs.show", run, "--json")
    found = json.loads(out)
    assert (code, found["id"], found["files"]["outputs/model.txt"]) == (0, run, 7)


def test_several_runs_are_canceled_at_once_and_compared(project: Path, run: str) -> None:
    going = [submit(project, command=SLEEPER, inputs=None) for _ in range(2)]
    code, out, _ = invoke(project, "cancel", *going, "--json")
    assert (code, [item["id"] for item in json.loads(out)]) == (0, going)
    for name in going:
        assert invoke(project, "logs", name)[0] == 1
    code, out, _ = invoke(project, "runs", "--state", "canceled", "--json")
    assert (code, [item["id"] for item in json.loads(out)]) == (0, going[::-1])
    assert invoke(project, "runs.cancel", going[0])[1].decode() == (
        f"  {going[0]} is Canceled already; there is nothing to cancel\n"
    )
    code, out, _ = invoke(project, "runs.compare", run, *going, "--json")
    assert (code, json.loads(out)["parameters"]) == (0, {"x": {run: "one two", going[0]: None, going[1]: None}})


@pytest.mark.parametrize("command", ["runs.cancel", "cancel", "runs.compare", "runs.metrics", "runs.download"])
def test_help_has_an_example_and_says_what_each_option_is(project: Path, command: str) -> None:
    code, out, _ = invoke(project, command, "--help")
    text = out.decode()
    assert (code, f"invoke {command.removeprefix('runs.')}" in text or f"invoke {command}" in text) == (0, True)
    options = text.partition("Options:\n")[2]
    assert "Print JSON for scripts instead of text for people." in " ".join(options.split())
