"""Outputs become blobs while a run runs; modes of outputs and inputs; what an eviction leaves of them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from emulator import blobstore, collect, inputs, jobrecords, live, materialise, ml, outputs, uris
from emulator.routing import Refusal
from node import command, layout
from tests.emulator.dataplane_kit import SPOT, WS, Caller, Clock, cloud, command_job, with_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.cloud import Cloud
    from emulator.jobrecords import Record
    from emulator.ml import Workspace
    from emulator.routing import Json
    from tests.emulator.site_kit import Site

JOB = f"{WS}/jobs/one"
STORE = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    made = Caller(cloud(layout.private_dir(tmp_path / "cloud"), Clock()))
    with_environment(made)
    return made


def workspace(call: Caller) -> Workspace:
    found = ml.by_id(call.cloud, WS)
    assert found is not None
    return found


def put(call: Caller, name: str, body: bytes) -> None:
    where = uris.datastore(call.cloud, workspace(call), uris.BLOBSTORE)
    blobstore.put(call.cloud, where, name, blobstore.stage(call.cloud, [body]))


def submitted(call: Caller, place: Path, nodes: int = 1, **more: Json) -> Record:
    """Accept a job and pretend that it runs on nodes below a folder."""
    call.ok("PUT", JOB, command_job(resources={"instanceCount": nodes}, **more), 201)
    dirs = [place / str(rank) for rank in range(nodes)]
    for folder in dirs:
        for name in layout.COLLECTED:
            layout.private_dir(layout.workdir(folder) / name)
    more_dirs = [str(folder) for folder in dirs[1:]]
    record = jobrecords.update(call.cloud, JOB, status="Running", run_dir=str(dirs[0]), more_dirs=more_dirs)
    assert record is not None
    return record


def look(call: Caller, record: Record) -> int:
    """Look now, whenever the last look was."""
    call.cloud.uploaded.setdefault(record.job_id, collect.Uploaded()).next_look = 0.0
    return collect.look(call.cloud, record)


def stored(call: Caller) -> dict[str, bytes]:
    where, root = uris.datastore(call.cloud, workspace(call), uris.ARTIFACTS), live.prefix("one")
    return {
        found.name.removeprefix(root): found.path.read_bytes() for found in blobstore.listing(call.cloud, where, root)
    }


def test_a_file_is_a_blob_once_two_looks_found_it_unchanged(call: Caller, tmp_path: Path) -> None:
    record = submitted(call, tmp_path / "run")
    file = layout.outputs_dir(record.dirs[0]) / "model.bin"
    file.write_bytes(b"half")
    assert (look(call, record), stored(call)) == (0, {})
    file.write_bytes(b"whole")
    assert (look(call, record), stored(call)) == (0, {})
    assert (look(call, record), stored(call)) == (1, {"outputs/model.bin": b"whole"})
    assert look(call, record) == 0


def test_logs_are_streamed_at_every_look(call: Caller, tmp_path: Path) -> None:
    record = submitted(call, tmp_path / "run")
    file = layout.workdir(record.dirs[0]) / "logs" / "train.log"
    for text in (b"a", b"ab", b"abc"):
        file.write_bytes(text)
        assert (look(call, record), stored(call)) == (1, {"logs/train.log": text})


def test_what_is_renamed_or_removed_is_so_in_storage(call: Caller, tmp_path: Path) -> None:
    record = submitted(call, tmp_path / "run")
    folder = layout.outputs_dir(record.dirs[0])
    (folder / "new.tmp").write_bytes(b"1")
    look(call, record)
    look(call, record)
    (folder / "new.tmp").rename(folder / "new")
    look(call, record)
    look(call, record)
    assert stored(call) == {"outputs/new": b"1"}
    (folder / "new").unlink()
    look(call, record)
    assert stored(call) == {}


def test_of_a_folder_that_can_not_be_read_or_is_gone_nothing_is_dropped(
    call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = submitted(call, tmp_path / "run")
    folder = layout.outputs_dir(record.dirs[0])
    (folder / "kept").write_bytes(b"1")
    look(call, record)
    look(call, record)

    def closed(_top: Path, onerror: Callable[[OSError], None]) -> list[tuple[str, list[str], list[str]]]:
        onerror(PermissionError("closed"))
        return []

    monkeypatch.setattr(os, "walk", closed)
    look(call, record)
    monkeypatch.undo()
    assert stored(call) == {"outputs/kept": b"1"}
    record.dirs[0].rename(tmp_path / "gone")
    look(call, record)
    assert stored(call) == {"outputs/kept": b"1"}


def test_looks_are_apart(call: Caller, tmp_path: Path) -> None:
    record = submitted(call, tmp_path / "run")
    (layout.workdir(record.dirs[0]) / "logs" / "a").write_bytes(b"1")
    assert collect.look(call.cloud, record) == 1
    (layout.workdir(record.dirs[0]) / "logs" / "b").write_bytes(b"1")
    assert collect.look(call.cloud, record) == 0
    assert call.cloud.uploaded[record.job_id].next_look - time.monotonic() <= collect.LOOK_S


def test_a_look_that_takes_too_long_goes_on_in_the_next(
    call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = submitted(call, tmp_path / "run")
    for name in ("a", "b"):
        (layout.workdir(record.dirs[0]) / "logs" / name).write_text(name)
    monkeypatch.setattr(collect, "BUDGET_S", 0.0)
    assert (look(call, record), stored(call)) == (0, {})
    monkeypatch.undo()
    assert look(call, record) == 2


def test_of_what_two_nodes_write_to_one_name_the_newest_counts(call: Caller, tmp_path: Path) -> None:
    record = submitted(call, tmp_path / "run", nodes=2)
    for rank, moment in ((0, 2000), (1, 1000)):
        file = layout.outputs_dir(record.dirs[rank]) / "same"
        file.write_text(str(rank))
        os.utime(file, (moment, moment))
        (layout.outputs_dir(record.dirs[rank]) / f"own-{rank}").write_text(str(rank))
    look(call, record)
    assert look(call, record) == 3
    assert stored(call) == {"outputs/same": b"0", "outputs/own-0": b"0", "outputs/own-1": b"1"}


def test_a_link_out_of_the_outputs_is_not_followed(call: Caller, tmp_path: Path) -> None:
    record = submitted(call, tmp_path / "run")
    (tmp_path / "secret").write_text("host")
    folder = layout.outputs_dir(record.dirs[0])
    (folder / "inside").write_text("1")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to("inside")
    (folder / "nowhere").symlink_to("none")
    collect.collect(call.cloud, record)
    assert stored(call) == {"outputs/inside": b"1", "outputs/in": b"1"}


def test_a_preempted_run_keeps_what_was_closed_in_time_and_no_upload(call: Caller, tmp_path: Path) -> None:
    named: dict[str, Json] = {
        "live": {"jobOutputType": "uri_folder"},
        "late": {"jobOutputType": "uri_folder", "mode": "Upload"},
    }
    record = submitted(call, tmp_path / "run", outputs=named)
    for name in ("live", "late"):
        folder = layout.private_dir(record.dirs[0] / outputs.FOLDER / name)
        (folder / "x").write_text(name)
    collect.rescue(call.cloud, record, [])
    assert stored(call) == {}
    (layout.outputs_dir(record.dirs[0]) / "last").write_text("new")
    collect.rescue(call.cloud, record, [])
    assert stored(call) == {"named-outputs/live/x": b"live"}
    collect.rescue(call.cloud, record, record.dirs)
    assert stored(call) == {"named-outputs/live/x": b"live", "outputs/last": b"new"}
    collect.collect(call.cloud, record)
    assert stored(call)["named-outputs/late/x"] == b"late"


def test_a_mounted_output_shows_what_is_there_and_a_file_is_a_file(call: Caller, tmp_path: Path) -> None:
    put(call, "shared/old.txt", b"old")
    put(call, "one.csv", b"1")
    given: dict[str, Json] = {
        "mount": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": f"{STORE}/shared"},
        "fresh": {"jobOutputType": "uri_folder", "mode": "Upload", "uri": f"{STORE}/shared"},
        "file": {"jobOutputType": "uri_file", "uri": f"{STORE}/one.csv"},
        "text": {"jobOutputType": "uri_folder", "mode": "Direct", "uri": f"{STORE}/elsewhere"},
    }
    record = submitted(call, tmp_path / "run", outputs=given)
    job = ml.obj((call.cloud.state.get(JOB) or {})["properties"])
    outputs.place(call.cloud, workspace(call), job, record.dirs)
    root = record.dirs[0] / outputs.FOLDER
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == [
        "file/one.csv",
        "mount/old.txt",
    ]
    named = outputs.texts(job, record.dirs[0])
    assert named == {"file": str(root / "file" / "one.csv"), "text": f"{STORE}/elsewhere"}
    line = outputs.aliased("x ${{outputs.file}} ${{ outputs.text }} ${{outputs.mount}}", named)
    values = {name: str(ml.obj(value)["value"]) for name, value in outputs.aliases(named).items()}
    text, bound = command.render(line, values, {"mount": "/m"})
    assert [bound[word.strip('"${}')] for word in text.split()[1:]] == [named["file"], named["text"], "/m"]
    assert outputs.folders(job) == {"mount": {"path": "named/mount"}, "fresh": {"path": "named/fresh"}}


def test_what_was_there_before_is_not_written_back(call: Caller, tmp_path: Path) -> None:
    put(call, "shared/old.txt", b"old")
    given: dict[str, Json] = {"mount": {"jobOutputType": "uri_folder", "uri": f"{STORE}/shared"}}
    record = submitted(call, tmp_path / "run", outputs=given)
    job = ml.obj((call.cloud.state.get(JOB) or {})["properties"])
    outputs.place(call.cloud, workspace(call), job, record.dirs)
    collect.remember(call.cloud, record)
    put(call, "shared/old.txt", b"by somebody else")
    (record.dirs[0] / outputs.FOLDER / "mount" / "new.txt").write_text("new")
    collect.collect(call.cloud, record)
    where = uris.datastore(call.cloud, workspace(call), uris.BLOBSTORE)
    found = blobstore.listing(call.cloud, where, "shared/")
    assert {blob.name: blob.path.read_bytes() for blob in found} == {
        "shared/old.txt": b"by somebody else",
        "shared/new.txt": b"new",
    }


@pytest.mark.processes
def test_a_run_that_never_began_writes_nothing_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_cloud: Cloud, record: Record) -> None:
        folder = layout.private_dir(layout.outputs_dir(record.dirs[0]))
        (folder / "half").write_text("x")
        raise OSError("the disk is full")

    monkeypatch.setattr(materialise, "build", half)
    site.submit("half", "true")
    record = site.ended("half")
    assert (record.status, record.reason) == ("Failed", "the run could not be started on its node: the disk is full")
    assert site.stored("half") == []


def test_a_file_that_is_an_output_goes_to_its_very_address(call: Caller, tmp_path: Path) -> None:
    given: dict[str, Json] = {"file": {"jobOutputType": "uri_file", "uri": f"{STORE}/out/two.csv"}}
    record = submitted(call, tmp_path / "run", outputs=given)
    file = record.dirs[0] / outputs.FOLDER / "file" / "two.csv"
    layout.private_dir(file.parent)
    file.write_text("2")
    collect.collect(call.cloud, record)
    found = blobstore.get(call.cloud, uris.datastore(call.cloud, workspace(call), uris.BLOBSTORE), "out/two.csv")
    assert found is not None
    assert found.path.read_text() == "2"


def placed(call: Caller, dirs: list[Path], **given: Json) -> list[dict[str, Json]]:
    return inputs.place(call.cloud, workspace(call), given, dirs)


def test_a_read_only_input_is_one_copy_and_a_downloaded_one_is_each_nodes_own(call: Caller, tmp_path: Path) -> None:
    put(call, "rows/a.csv", b"1")
    dirs = [tmp_path / "0", tmp_path / "1"]
    uri = f"{STORE}/rows"
    found = placed(
        call,
        dirs,
        ro={"jobInputType": "mltable", "uri": uri},
        own={"jobInputType": "uri_folder", "mode": "Download", "uri": uri},
        text={"jobInputType": "uri_folder", "mode": "Direct", "uri": uri},
        word={"jobInputType": "literal", "value": "x"},
    )
    assert [entry["ro"] for entry in found] == [{"path": str(dirs[0] / "inputs" / "ro")}] * 2
    assert [entry["own"] for entry in found] == [{"path": str(folder / "inputs" / "own")} for folder in dirs]
    assert [(entry["text"], entry["word"]) for entry in found] == [({"value": uri}, {"value": "x"})] * 2
    assert not (dirs[1] / "inputs" / "ro").exists()


def test_the_datastore_of_another_workspace_is_refused(call: Caller, tmp_path: Path) -> None:
    put(call, "x", b"1")
    short = WS[1:].replace("providers/Microsoft.MachineLearningServices/", "")
    own = f"azureml://{short}/datastores/workspaceblobstore/paths/x"
    assert placed(call, [tmp_path], a={"jobInputType": "uri_file", "uri": own}) == [
        {"a": {"path": str(tmp_path / "inputs" / "a" / "x")}}
    ]
    other = own.replace("/workspaces/ws/", "/workspaces/theirs/")
    with pytest.raises(Refusal) as caught:
        placed(call, [tmp_path], a={"jobInputType": "uri_file", "uri": other})
    assert caught.value.message == (
        f"'{other}' is in the workspace 'theirs': a job reaches the datastores of its own workspace alone."
    )


@pytest.mark.processes
def test_outputs_of_a_running_job_are_listed_read_and_complete_at_its_end(site: Site) -> None:
    line = "echo 1 > outputs/first; echo 2 > ${{outputs.out}}/second; sleep 60"
    site.submit("live", line, outputs={"out": {"jobOutputType": "uri_folder"}})
    site.running("live")
    site.wait(lambda: {"outputs/first", "named-outputs/out/second"} <= set(site.stored("live")))
    assert site.record("live").status == "Running"
    assert site.output("live", "outputs/first") == b"1\n"
    site.call("POST", f"{WS}/jobs/live/cancel")
    assert site.ended("live").status == "Canceled"


@pytest.mark.processes
def test_what_is_saved_at_the_notice_is_there_and_what_is_not_is_lost(site: Site) -> None:
    line = "trap 'echo saved > outputs/saved; exit 0' TERM; echo up; sleep 60 & wait"
    site.submit("saves", line, computeId=SPOT)
    site.running("saves")
    site.wait(lambda: (site.record("saves").dirs[0] / layout.USER_LOG).read_bytes() == b"up\n")
    site.call("POST", f"{SPOT}/trainyard.evict")
    assert site.record("saves").error_code == "NodePreempted"
    assert site.output("saves", "outputs/saved") == b"saved\n"
    assert site.output("saves", "user_logs/std_log.txt") == b"up\n"


@pytest.mark.processes
def test_of_a_node_that_dies_only_what_was_stored_before_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "look", lambda *_: 0)
    site.submit("dies", "echo 1 > outputs/x; echo said; sleep 60")
    record = site.running("dies")
    site.wait((layout.outputs_dir(record.dirs[0]) / "x").exists)
    site.wait(lambda: (record.dirs[0] / layout.USER_LOG).read_bytes() == b"said\n")
    [machine] = site.clusters._fleet.all()
    site.clusters._fleet.kill(machine)
    assert site.ended("dies").error_code == "NodeLost"
    assert site.stored("dies") == ["azureml-logs/20_image_build_log.txt", "user_logs/std_log.txt"]
    assert site.output("dies", "user_logs/std_log.txt") == b"said\n"
