from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime.errors import StoreError
from runtime.project import Project as ProjectFolder
from runtime.project import private_folder
from runtime.records import Record
from runtime.store import Store
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.project import Project


def a_record(run_id: str = "digits-quiet-heron", **changes: object) -> Record:
    values = {"id": run_id, "kind": "Local", "target": "local", "experiment": "digits", "token": "t", "created": "2026"}
    return Record.model_validate({**values, **changes})


def test_an_intent_is_there_in_the_database_and_in_its_own_file(project: Project) -> None:
    store = Store(project)
    assert store.insert(a_record())
    assert store.get("digits-quiet-heron") == a_record()
    kept = json.loads((store.folder / "digits-quiet-heron" / "run.json").read_text())
    assert Record.model_validate(kept) == a_record()


def test_an_id_is_taken_in_any_spelling(project: Project) -> None:
    store = Store(project)
    assert store.insert(a_record("Digits"))
    assert not store.insert(a_record("digits"))
    assert [record.id for record in store.all()] == ["Digits"]


def test_a_terminal_state_is_written_once(project: Project) -> None:
    store = Store(project)
    store.insert(a_record())
    store.update("digits-quiet-heron", state="Completed", duration_s=2.0)
    after = store.update("digits-quiet-heron", state="Failed", duration_s=9.0)
    assert after is not None
    assert (after.state, after.duration_s, after.metrics) == ("Completed", 2.0, {})
    later = store.update("digits-quiet-heron", metrics={"accuracy": 0.9}, metrics_final=True)
    assert later is not None
    assert (later.state, later.metrics) == ("Completed", {"accuracy": 0.9})


def test_a_wish_to_cancel_is_never_taken_back(project: Project) -> None:
    store = Store(project)
    store.insert(a_record())
    store.update("digits-quiet-heron", cancel_requested=True)
    after = store.update("digits-quiet-heron", state="Running", cancel_requested=False)
    assert after is not None
    assert (after.state, after.cancel_requested) == ("Running", True)


def test_a_lost_database_is_rebuilt_from_the_runs_own_files(project: Project) -> None:
    store = Store(project)
    records = [a_record(f"run-{number}", created=f"2026-11-21T10:00:0{number}Z") for number in (2, 1, 3)]
    for record in records:
        store.insert(record)
    (store.folder / ".store.db").unlink()
    assert [record.id for record in Store(project).all()] == ["run-1", "run-2", "run-3"]


def test_a_damaged_database_is_said_and_left_alone(project: Project) -> None:
    store = Store(project)
    store.insert(a_record())
    path = store.folder / ".store.db"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError) as error:
        store.all()
    assert str(error.value) == (
        f"{path} is damaged (file is not a database). Every run is also in its own run.json. To rebuild the store from "
        f"them: mv {path} {path}.damaged, and repeat the command"
    )
    assert path.read_bytes() == b"garbage" * 1000
    path.rename(f"{path}.damaged")
    assert Store(project).all() == [a_record()]


def test_a_newer_database_is_refused(project: Project) -> None:
    store = Store(project)
    store.insert(a_record())
    with sqlite3.connect(store.folder / ".store.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match=r"written by a newer Trainyard \(schema 99\)"):
        store.all()


def test_everything_is_private_whatever_the_umask(project: Project) -> None:
    before = os.umask(0)
    try:
        store = Store(project)
        store.insert(a_record())
        with store.submitting("digits-quiet-heron"):
            assert store.is_submitting("digits-quiet-heron")
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in sorted(project.data.rglob("*"))}
    assert modes == {
        "runs": "0o700",
        ".store.db": "0o600",
        "digits-quiet-heron": "0o700",
        "run.json": "0o600",
        "submitting": "0o600",
    }
    assert not store.is_submitting("digits-quiet-heron")


def _insert_many(folder: Path, start: int, barrier: object) -> None:
    store = Store(ProjectFolder(folder))
    barrier.wait()  # type: ignore[attr-defined]  # a multiprocessing.Barrier
    for number in range(start, start + 10):
        assert store.insert(a_record(f"run-{number}"))
        store.update(f"run-{number}", state="Running")


@pytest.mark.processes
def test_two_hundred_submissions_at_once_on_a_new_store_lose_none(project: Project) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(20)
    workers = [context.Process(target=_insert_many, args=(project.root, at * 10, barrier)) for at in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 20
    store = Store(project)
    assert sorted(record.id for record in store.all()) == sorted(f"run-{number}" for number in range(200))
    assert {record.state for record in store.all()} == {"Running"}
    assert len(store.described()) == 200


def test_a_private_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    project = kit.a_project(tmp_path / "project")
    (project.root / ".trainyard").write_text("mine")
    with pytest.raises(StoreError) as raised:
        Store(project)
    path = project.root / ".trainyard"
    assert str(raised.value) == f"{path} must be a folder, and is something else. Move it away, and repeat"
    assert path.read_text() == "mine"


def test_a_private_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="/proc/none can't be made or entered: No such file or directory"):
        private_folder(Path("/proc/none"))


def test_a_mark_of_submission_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = Store(kit.a_project(tmp_path / "project"))
    (store.run_folder("r") / "submitting").mkdir()
    with pytest.raises(StoreError, match="submitting can't be written: Is a directory"), store.submitting("r"):
        pytest.fail("it was not marked")
