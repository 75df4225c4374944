"""Small files of a run, and what readers make of them; no process is started."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from node import control, delivery, job, layout, processes, reading
from node import status as statuses
from node.status import JobProcess, Status, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from node.layout import Json

DEAD = Supervisor(pid=2**22 + 1, start_time=1, boot_id="another boot")


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    layout.write_json(path, {"a": "é\ud800"})
    layout.write_json(path, {"a": 2})
    assert layout.read_json(path) == {"a": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    layout.write_json(path, {"a": 1})

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        layout.write_json(path, {"a": 2})
    assert layout.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"[1")
    with pytest.raises(ValueError, match="x is not JSON"):
        layout.read_json(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"[1]")
    with pytest.raises(ValueError, match="holds list, not a JSON object"):
        layout.read_json(tmp_path / "x")
    assert layout.read_json(tmp_path / "y") is None


def test_a_status_survives_its_file(tmp_path: Path) -> None:
    status = Status(
        statuses.FAILED,
        7,
        Supervisor(1, 2, "b"),
        JobProcess(3, 3, 4),
        1,
        "why",
        {"created": "2026-01-01T00:00:00.000Z"},
        1.5,
        statuses.BuiltEnvironment("id", "/python", True, 2.0),
        "mark",
        (JobProcess(5, 5, 6), JobProcess(7, 7, 8)),
    )
    statuses.write(tmp_path, status)
    assert statuses.read(tmp_path) == status
    assert [leader.pid for leader in status.leaders] == [3, 5, 7]


def test_a_terminal_status_never_changes(tmp_path: Path) -> None:
    statuses.write(tmp_path, Status(statuses.COMPLETED))
    with pytest.raises(ValueError, match="already ended as Completed"):
        statuses.write(tmp_path, Status(statuses.FAILED))
    assert control.cancel(tmp_path) is False
    assert control.settle(tmp_path).state == statuses.COMPLETED


@pytest.mark.parametrize("text", ["{}", '{"state": 1}', '{"state": "Running", "exit_code": "x"}', "[]", "{"])
def test_a_damaged_status_is_an_error_and_not_a_state(tmp_path: Path, text: str) -> None:
    (tmp_path / layout.STATUS).write_text(text)
    with pytest.raises(ValueError, match=r"status\.json"):
        reading.status(tmp_path)


def test_a_run_whose_supervisor_never_spoke_is_not_started(tmp_path: Path) -> None:
    assert reading.status(tmp_path) == Status("NotStarted")
    assert control.settle(tmp_path) == Status("NotStarted")


def test_a_rebooted_host_is_told(tmp_path: Path) -> None:
    statuses.write(tmp_path, Status(statuses.RUNNING, 3, DEAD))
    told = reading.status(tmp_path)
    assert (told.state, told.sequence) == (statuses.FAILED, 4)
    assert told.reason == "the supervisor died while the run was Running (the host was rebooted)"


def test_a_cancel_is_not_lost_with_the_supervisor(tmp_path: Path) -> None:
    statuses.write(tmp_path, Status(statuses.PREPARING, 1, replace(DEAD, boot_id=processes.boot_id())))
    assert control.cancel(tmp_path, "enough") is True
    assert control.settle(tmp_path).state == statuses.CANCELED
    assert statuses.read(tmp_path) == reading.status(tmp_path)
    assert (
        reading.status(tmp_path).reason == "canceled; the supervisor died while the run was Preparing (it was killed)"
    )


def test_who_holds_the_lock_is_alive_whatever_its_pid(tmp_path: Path) -> None:
    statuses.write(tmp_path, Status(statuses.RUNNING, 3, DEAD))
    lock = processes.acquire(tmp_path / layout.LOCK)
    assert lock is not None
    assert processes.acquire(tmp_path / layout.LOCK) is None
    assert reading.status(tmp_path).state == statuses.RUNNING
    assert control.settle(tmp_path).state == statuses.RUNNING
    os.close(lock)
    assert reading.status(tmp_path).state == statuses.FAILED


def test_a_reused_pid_is_not_the_process_of_before() -> None:
    me = processes.identity(os.getpid())
    assert me is not None
    assert processes.is_alive(me)
    assert not processes.is_alive(replace(me, start_time=me.start_time + 1))
    assert not processes.is_alive(replace(me, boot_id="another boot"))


def test_metrics_are_read_up_to_the_last_whole_line(tmp_path: Path) -> None:
    (tmp_path / layout.METRICS).write_bytes(
        b'{"key": "a", "value": 0.1, "timestamp": 5, "step": 1}\n'
        b"garbage\n"
        b'{"key": "a", "value": "NaN", "timestamp": 6, "step": 0}\n'
        b'{"key": "b", "value": "-Infinity", "timestamp": 6, "step": 0}\n'
        b'{"key": "a", "value": 0.2, "tim'
    )
    found = reading.metrics(tmp_path)
    assert [(m.key, m.timestamp, m.step) for m in found] == [("a", 5, 1), ("a", 6, 0), ("b", 6, 0)]
    assert math.isnan(found[1].value)
    assert reading.last_metrics(tmp_path) == {"a": 0.1, "b": -math.inf}
    assert reading.metrics(tmp_path / "nowhere") == []
    assert reading.params(tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": ""}, "command is missing"),
        ({"run_id": 3}, "run_id must be text"),
        ({"timeout_s": "60"}, "timeout_s must be a number"),
        ({"inputs": {"x": {"uri": "y"}}}, 'inputs.x must be {"value": ...} or {"path": "..."}'),
        ({"outputs": {"x": "y"}}, 'outputs.x must be {"path": "..."}'),
        ({"environment": {"pip": "six"}}, "environment.pip must be a list of requirements"),
        ({"environment_variables": {"A": "a\0b"}}, "environment_variables.A holds a NUL character"),
        ({"extra_env": {"1A": "x"}}, "extra_env: '1A' is not a name for an environment variable (letters, digits, _)"),
    ],
)
def test_a_bad_job_document_is_refused_by_field(tmp_path: Path, change: dict[str, Json], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole message is compared)
        job.parse({"run_id": "r", "command": "true", **change}, tmp_path)
    assert str(caught.value) == message


def test_a_cancel_is_kept_although_the_status_is_damaged(tmp_path: Path) -> None:
    (tmp_path / layout.STATUS).write_text("{")
    assert control.cancel(tmp_path, "enough") is True
    assert control.cancel_reason(tmp_path) == "enough"


def test_an_output_says_whether_it_is_a_file_and_where_else_it_goes(tmp_path: Path) -> None:
    plain = {"run_id": "r", "command": "true"}
    outputs: dict[str, Json] = {
        "model": {"path": "named/model", "deliver": "/data/model"},
        "report": {"path": "named/report/r.txt", "file": True},
    }
    found = job.parse({**plain, "outputs": outputs}, tmp_path)
    assert found.outputs == {"model": str(tmp_path / "named/model"), "report": str(tmp_path / "named/report/r.txt")}
    assert (found.files, found.deliveries) == ({"report"}, {"model": "/data/model"})
    with pytest.raises(ValueError, match=r"outputs\.model\.deliver must be an absolute path"):
        job.parse({**plain, "outputs": {"model": {"path": "x", "deliver": "data"}}}, tmp_path)


def test_a_delivery_replaces_files_of_the_same_name_and_may_be_repeated(tmp_path: Path) -> None:
    source, place = tmp_path / "named", tmp_path / "place"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a").write_text("new")
    (source / "link").symlink_to(source / "deep" / "a")
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "a").write_text("old, and longer")
    (place / "kept").write_text("kept")
    outputs: dict[str, Json] = {"x": {"path": "named", "deliver": str(place)}}
    wanted = job.parse({"run_id": "r", "command": "true", "outputs": outputs}, tmp_path)
    for _ in range(2):
        delivery.deliver(wanted)
        found = {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*") if path.is_file()}
        assert found == {"deep/a": "new", "kept": "kept"}
