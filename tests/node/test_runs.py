"""Real supervisors and commands: what a run leaves behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node import control, launch, layout, processes, reading
from node import status as statuses

if TYPE_CHECKING:
    from tests.node.conftest import Runs

BYTES = bytes(range(256)) + b"\r\x1b[31m\xff\xfe no newline at the end"


def test_a_completed_run_keeps_every_byte_of_its_log(runs: Runs) -> None:
    run_dir = runs.create("cat bytes.bin; cat bytes.bin >&2")
    (layout.private_dir(run_dir / layout.CODE) / "bytes.bin").write_bytes(BYTES)
    launch.start(run_dir)
    status = runs.end(run_dir)
    assert (status.state, status.exit_code, status.reason) == (statuses.COMPLETED, 0, None)
    assert runs.log(run_dir) == BYTES + BYTES
    assert sorted(status.times) == ["created", "ended", "preparing", "running"]
    assert status.duration_s is not None
    assert (run_dir / layout.SUPERVISOR_LOG).read_text() == ""


def test_a_failed_command_gives_its_exit_code(runs: Runs) -> None:
    status = runs.end(runs.start("exit 7"))
    assert (status.state, status.exit_code, status.reason) == (statuses.FAILED, 7, "the command exited with code 7")


def test_a_command_that_a_signal_ended_says_which(runs: Runs) -> None:
    status = runs.end(runs.start("kill -KILL $$"))
    assert (status.state, status.exit_code) == (statuses.FAILED, 137)
    assert status.reason == "the command was ended by signal SIGKILL"


def test_the_working_directory_is_the_snapshot_with_outputs_and_logs(runs: Runs) -> None:
    run_dir = runs.start(
        "pwd; ls -d outputs logs; echo m > ${{outputs.model}}/m; cat ${{inputs.data}}",
        inputs={"data": {"path": "job.json"}},
        outputs={"model": {"path": "named/model"}},
    )
    assert runs.end(run_dir).state == statuses.COMPLETED
    document = (run_dir / layout.JOB).read_bytes()
    assert runs.log(run_dir) == os.fsencode(run_dir / layout.CODE) + b"\nlogs\noutputs\n" + document
    assert (run_dir / "named" / "model" / "m").read_text() == "m\n"


def test_secret_values_are_only_in_files_of_the_owner_and_never_in_an_argument(runs: Runs) -> None:
    old = os.umask(0)
    try:
        run_dir = runs.start("echo ready; sleep 60", environment_variables={"KEY": "canary-4711"})
    finally:
        os.umask(old)
    runs.line(run_dir, b"ready")
    for name in os.listdir("/proc"):  # noqa: PTH208
        try:
            assert b"canary-4711" not in Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
    modes = {path.stat().st_mode & 0o077 for path in [run_dir, *run_dir.rglob("*")]}
    assert modes == {0}
    assert control.cancel(run_dir) is True
    assert runs.end(run_dir).state == statuses.CANCELED
    holders = [path.name for path in run_dir.rglob("*") if path.is_file() and b"canary-4711" in path.read_bytes()]
    assert holders == [layout.JOB]


def test_the_launchers_credentials_do_not_reach_the_job(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARM_CLIENT_SECRET", "PULUMI_CONFIG_PASSPHRASE", "MY_TOKEN", "PGPASSWORD", "PYTHONPATH"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "4")
    run_dir = runs.start(
        "env | grep -c canary; echo $OMP_NUM_THREADS $TOKENIZERS_PARALLELISM $X", environment_variables={"X": "a b"}
    )
    runs.end(run_dir)
    assert runs.log(run_dir) == b"0\n3 4 a b\n"


def test_cancel_ends_a_tree_that_ignores_term_and_left_its_session(runs: Runs) -> None:
    stubborn = (
        "trap '' TERM; setsid bash -c \"trap '' TERM; echo away; sleep 60\" & echo here; while :; do sleep 1; done"
    )
    run_dir = runs.start(stubborn, grace_s=0.3)
    runs.line(run_dir, b"away")
    runs.line(run_dir, b"here")
    before = time.monotonic()
    assert control.cancel(run_dir, "enough") is True
    status = runs.end(run_dir)
    assert (status.state, status.reason, status.exit_code) == (statuses.CANCELED, "enough", 137)
    assert time.monotonic() - before < 5
    assert processes.marked(str(status.mark)) == []
    assert control.cancel(run_dir) is False


def test_a_cancel_before_the_start_runs_nothing(runs: Runs) -> None:
    run_dir = runs.create("echo never")
    assert control.cancel(run_dir) is True
    assert control.cancel(run_dir) is True
    launch.start(run_dir)
    status = runs.end(run_dir)
    assert (status.state, status.reason, status.job, status.duration_s) == (statuses.CANCELED, None, None, None)
    assert runs.log(run_dir) == b""


def test_a_run_out_of_time_fails_and_says_so(runs: Runs) -> None:
    status = runs.end(runs.start("sleep 60", timeout_s=0.2))
    assert (status.state, status.reason) == (statuses.FAILED, "timeout: the command ran longer than 0.2 s")


def test_what_a_finished_command_leaves_behind_is_ended(runs: Runs) -> None:
    run_dir = runs.start("setsid sleep 61 & echo done", grace_s=0.3)
    status = runs.end(run_dir)
    assert status.state == statuses.COMPLETED
    assert processes.marked(str(status.mark)) == []


def test_a_dead_supervisor_is_told_at_once_and_settled_with_what_it_left(runs: Runs) -> None:
    run_dir = runs.start("setsid sleep 62 & echo up; sleep 60")
    runs.line(run_dir, b"up")
    running = runs.running(run_dir)
    assert running.supervisor is not None
    os.kill(running.supervisor.pid, signal.SIGKILL)
    told = runs.end(run_dir)
    assert told.state == statuses.FAILED
    assert told.reason == "the supervisor died while the run was Running (it was killed)"
    stored = statuses.read(run_dir)
    assert stored is not None
    assert stored.state == statuses.RUNNING
    assert processes.marked(str(told.mark)) != []
    settled = control.settle(run_dir)
    assert (settled.state, settled.reason) == (told.state, told.reason)
    assert statuses.read(run_dir) == settled
    assert processes.marked(str(told.mark)) == []


def test_a_settled_run_is_not_executed_again(runs: Runs) -> None:
    run_dir = runs.start("echo once >> witness; kill -KILL $PPID; sleep 60")
    assert runs.end(run_dir).state == statuses.FAILED
    launch.start(run_dir)
    runs.until(lambda: found if (found := statuses.read(run_dir)) and found.terminal else None)
    launch.start(run_dir)
    assert (run_dir / layout.CODE / "witness").read_text() == "once\n"


def test_starting_a_supervised_run_again_changes_nothing(runs: Runs) -> None:
    run_dir = runs.start("echo once >> witness; sleep 60")
    launch.start(run_dir)
    witness = run_dir / layout.CODE / "witness"
    runs.until(lambda: (witness.exists() and witness.read_text()) or None)  # the shell makes it before it writes
    runs.running(run_dir)
    assert witness.read_text() == "once\n"


def test_a_run_that_a_job_starts_outlives_that_job(runs: Runs) -> None:
    inner = runs.create("echo inner; sleep 60")
    starter = f"from node import launch; from pathlib import Path; launch.start(Path({str(inner)!r}))"
    outer = runs.create('$PY -c "$CODE"', grace_s=0.3, environment_variables={
        "PY": sys.executable, "CODE": starter, "PYTHONPATH": str(launch.package_root()),
    })  # fmt: skip
    launch.start(outer)
    assert runs.end(outer).state == statuses.COMPLETED
    runs.line(inner, b"inner")
    runs.running(inner)


def test_a_job_file_that_makes_no_sense_fails_with_the_field(runs: Runs) -> None:
    status = runs.end(runs.start("true", environment_variables={"A=B": "1"}))
    assert (status.state, status.reason) == (
        statuses.FAILED,
        "environment_variables: 'A=B' is not a name for an environment variable (letters, digits, _)",
    )
    missing = runs.end(runs.start("echo ${{inputs.y}}", inputs={"x": {"value": 1}}))
    assert missing.reason == "the command names ${{inputs.y}}, which the job does not give; it gives: inputs.x"
    absent = runs.end(runs.start("true", environment={"interpreter": "/nowhere/python"}))
    assert absent.reason == "the environment's interpreter /nowhere/python is missing or not executable"


def test_a_supervisor_on_standby_that_is_not_told_to_begin_goes_away(runs: Runs) -> None:
    run_dir = runs.create("echo never")
    with launch.stand_by(run_dir) as standby:
        pid = standby.pid
        assert processes.identity(pid) is not None
    assert processes.identity(pid) is None
    assert (statuses.read(run_dir), runs.log(run_dir)) == (None, b"")


def test_a_supervisor_on_standby_goes_away_with_a_launcher_that_is_killed(runs: Runs) -> None:
    run_dir = runs.create("echo never")
    code = (
        "import os, sys; from pathlib import Path; from node import launch; "
        "print(launch.stand_by(Path(sys.argv[1])).pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run_dir)], cwd=launch.package_root(), capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    runs.until(lambda: processes.identity(int(done.stdout)) is None or None)
    assert (statuses.read(run_dir), (run_dir / layout.SUPERVISOR_LOG).read_text()) == (None, "")
    launch.start(run_dir)
    assert runs.end(run_dir).state == statuses.COMPLETED


def test_a_supervisor_that_can_not_start_says_why(runs: Runs) -> None:
    run_dir = runs.create("true")
    with pytest.raises(launch.LaunchError, match=r"run0 did not start: .*No such file"):
        launch.start(run_dir, "/nowhere/python")
    with pytest.raises(launch.LaunchError, match=r"run0 did not start \(exit code 1\): no message"):
        launch.start(run_dir, "/bin/false")


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(launch.LaunchError, match=r"job\.json is missing"):
        launch.start(tmp_path)


@pytest.mark.clients
def test_mlflow_logs_into_the_runs_files_without_a_word(runs: Runs) -> None:
    run_dir = runs.create("python -W error::UserWarning train.py", environment={"interpreter": sys.executable})
    script = """
import mlflow
with mlflow.start_run():
    mlflow.log_params({"rate": 0.1, "name": "a b"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"accuracy": 0.9876543210123456})
    mlflow.set_tag("kind", "test")
    mlflow.log_dict({"x": 1}, "report/x.json")
    with mlflow.start_run(nested=True):
        mlflow.log_metric("inner", 1)
"""
    (layout.private_dir(run_dir / layout.CODE) / "train.py").write_text(script)
    launch.start(run_dir)
    assert (runs.end(run_dir).state, runs.log(run_dir)) == (statuses.COMPLETED, b"")
    assert [(m.key, m.value, m.step) for m in reading.metrics(run_dir)] == [
        ("loss", 1.0, 0),
        ("loss", 0.5, 1),
        ("loss", 1 / 3, 2),
        ("accuracy", 0.9876543210123456, 0),
    ]
    assert reading.last_metrics(run_dir) == {"loss": 1 / 3, "accuracy": 0.9876543210123456}
    assert reading.params(run_dir) == {"rate": "0.1", "name": "a b"}
    assert reading.tags(run_dir)["kind"] == "test"
    assert json.loads((layout.outputs_dir(run_dir) / "report" / "x.json").read_text()) == {"x": 1}
    (nested,) = (run_dir / layout.NESTED).iterdir()
    assert reading.last_metrics(nested) == {"inner": 1.0}
    assert (run_dir / layout.SUPERVISOR_LOG).read_text() == ""


def test_a_run_is_kept_to_its_processors(runs: Runs) -> None:
    ask = "import os; print(len(os.sched_getaffinity(0)))"
    run_dir = runs.start(f'{sys.executable} -c "{ask}"', limits={"cpus": 1})
    assert runs.end(run_dir).state == statuses.COMPLETED
    assert runs.log(run_dir) == b"1\n"


def test_every_process_of_a_run_is_kept_to_its_memory(runs: Runs) -> None:
    ask = "import resource; print(resource.getrlimit(resource.RLIMIT_AS)); bytearray(1 << 30)"
    run_dir = runs.start(f'{sys.executable} -c "{ask}"', limits={"memory_bytes": 1 << 29})
    status = runs.end(run_dir)
    assert (status.state, status.exit_code) == (statuses.FAILED, 1)
    lines = runs.log(run_dir).splitlines()
    assert (lines[0], lines[-1]) == (f"({1 << 29}, {1 << 29})".encode(), b"MemoryError")


def test_limits_below_one_are_refused(runs: Runs) -> None:
    status = runs.end(runs.start("true", limits={"cpus": 0}))
    assert status.reason == "limits.cpus and limits.memory_bytes must be at least 1"


def test_a_value_that_linux_passes_to_no_program_says_what_to_do(runs: Runs) -> None:
    status = runs.end(runs.start("true", environment_variables={"A": "x" * 200_000}))
    assert (status.state, status.reason) == (
        statuses.FAILED,
        "an input's value or an environment variable is longer than Linux passes to a program (128 KiB each, about "
        "2 MB together). Give it as a file: an input with type: uri_file",
    )
