from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from node import launch, layout, masking, processes, reading
from node import status as statuses
from node.masking import Logs, Mask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.node.conftest import Runs

SECRET = "correct-horse-battery"


def test_what_a_launcher_says_is_what_the_supervisor_hears() -> None:
    secrets = {"A": "line\nline\n", "B": "ünï 'quoted' \"$HOME\""}
    assert masking.unpacked(masking.packed(secrets)) == secrets


@pytest.mark.parametrize("content", [b'{"A": "correct-horse', b'["correct-horse"]', b'{"A": {"B": "correct-horse"}}'])
def test_what_did_not_arrive_whole_is_refused_without_showing_it(content: bytes) -> None:
    with pytest.raises(ValueError, match="the secrets of the job") as error:
        masking.unpacked(content)
    assert "correct" not in str(error.value)


def test_texts_are_masked_at_any_depth_but_not_in_fields_that_hold_none() -> None:
    mask = Mask(["123456", f"{SECRET}\n"])
    given = {"run_id": "123456", "tags": [{"key": f"a {SECRET}", "value": "x123456x"}], SECRET: 123456, "n": None}
    assert mask.tree(given, {"run_id"}) == {
        "run_id": "123456", "tags": [{"key": "a ***", "value": "x***x"}], "***": 123456, "n": None
    }  # fmt: skip
    assert Mask().tree(given) == given


def test_a_log_ends_when_its_last_writer_does(tmp_path: Path) -> None:
    logs = Logs(Mask([SECRET]))
    log = tmp_path / "log.txt"
    its = logs.pipe(log)
    other = os.dup(its)
    os.write(its, f"one {SECRET[:9]}".encode())
    os.close(its)
    os.write(other, f"{SECRET[9:]} two {SECRET[:4]}".encode())
    os.close(other)
    logs.close()
    assert (log.read_bytes(), logs.lost) == (b"one *** two corr", None)


def test_what_opens_its_log_by_itself_opens_a_fifo(tmp_path: Path) -> None:
    logs = Logs(Mask([SECRET]))
    logs.fifo(tmp_path / "log.txt")
    fifo = tmp_path / layout.fifo("log.txt")
    for _ in range(2):  # also one after the other
        subprocess.run(["/bin/sh", "-c", 'echo "$1" >> "$2"', "sh", SECRET, fifo], check=True)
    logs.close()
    assert (tmp_path / "log.txt").read_text() == "***\n***\n"
    assert not fifo.exists()


def test_a_log_that_can_not_be_written_holds_nobody_up() -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("there is no /dev/full")
    from pathlib import Path

    logs = Logs(Mask([SECRET]))
    its = logs.pipe(Path("/dev/full"))
    for _ in range(8):
        os.write(its, b"x" * 65536)  # more than a pipe holds
    os.close(its)
    logs.close()
    assert logs.lost == "No space left on device"


@pytest.mark.processes
def test_a_supervisor_gets_the_secrets_by_its_pipe_and_not_by_its_environment(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_A", SECRET)
    monkeypatch.setenv("OTHER", f"https://u:{SECRET}@host")
    large = "x" * 100_000
    run_dir = runs.create('echo "<$TOKEN_A>" "${#LARGE}" "$OTHER"; sleep 60', secrets=["TOKEN_A", "LARGE"])
    launch.start(run_dir, secrets={"TOKEN_A": SECRET, "LARGE": large})
    runs.line(run_dir, b"<***> 100000 \n")
    status = runs.running(run_dir)
    assert status.supervisor is not None
    assert status.job is not None
    pid = status.supervisor.pid
    assert not [name for name in ("TOKEN_A=", "OTHER=", "LARGE=") if processes.environment_has(pid, name)]
    assert processes.environment_has(status.job.pid, f"TOKEN_A={SECRET}")


@pytest.mark.processes
def test_a_job_is_not_run_without_the_secrets_that_it_was_promised(runs: Runs) -> None:
    run_dir = runs.create("echo never", secrets=["B", "A"])
    launch.start(run_dir, secrets={"B": SECRET})
    ended = runs.end(run_dir)
    assert (ended.state, ended.reason) == (
        statuses.FAILED,
        "the values of its secrets were not given: A. They are kept nowhere: submit it again",
    )
    assert runs.log(run_dir) == b""


@pytest.mark.processes
def test_a_reason_shows_no_secret(runs: Runs) -> None:
    run_dir = runs.create(f"echo ${{{{inputs.{SECRET}}}}}", secrets=["A"])
    launch.start(run_dir, secrets={"A": SECRET})
    assert runs.end(run_dir).reason == "the command names ${{inputs.***}}, which the job does not give; it gives: none"


@pytest.mark.processes
def test_a_launcher_that_is_cut_off_in_the_middle_of_its_word_starts_nothing(runs: Runs) -> None:
    run_dir = runs.create("echo never", secrets=["A"])
    code = (
        "import os, sys; from pathlib import Path; from node import launch\n"
        "by = launch.stand_by(Path(sys.argv[1]), secrets={'A': 'x' * 1000})\n"
        "by._process.stdin.write(by._word()[:500]); by._process.stdin.flush(); print(by.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run_dir)], cwd=launch.package_root(), capture_output=True, check=True
    )
    runs.until(lambda: processes.identity(int(done.stdout)) is None or None)
    assert (statuses.read(run_dir), (run_dir / layout.SUPERVISOR_LOG).read_text()) == (None, "")


@pytest.mark.processes
def test_what_a_job_leaves_running_is_ended_and_its_last_words_are_in_the_log(runs: Runs) -> None:
    run_dir = runs.create(
        "python3 -c \"import os, time; os.setsid(); print('left', os.environ['A'], flush=True); open('up', 'w'); "
        'time.sleep(60)" & until [ -e up ]; do sleep 0.02; done; printf "end %s" "$A"',
        secrets=["A"],
    )
    launch.start(run_dir, secrets={"A": SECRET})
    ended = runs.end(run_dir)
    assert ended.state == statuses.COMPLETED
    assert runs.log(run_dir) == b"left ***\nend ***"


@pytest.mark.processes
def test_a_run_with_a_secret_shows_none_of_its_forms_in_its_folder(runs: Runs) -> None:
    run_dir = runs.create('printf "%s" "$A" | od -An -tx1 | tr -d " \\n"; printf "%s" "$A" | base64', secrets=["A"])
    launch.start(run_dir, secrets={"A": SECRET})
    assert runs.end(run_dir).state == statuses.COMPLETED
    assert runs.log(run_dir) == b"******\n"
    found = [
        path.name for path in run_dir.rglob("*") if path.is_file() and re.search(b"horse|d29yc", path.read_bytes())
    ]
    assert (found, reading.params(run_dir)) == ([], {})
