from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node import layout, processes, reading
from runtime import blobs, runs, submitters
from runtime.errors import SpecError, TargetError
from runtime.events import Event
from runtime.project import cache_folder
from runtime.runs import find_run, list_runs
from runtime.site import Options, open_site
from runtime.submit import submit
from specs.targets import LocalTarget
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.project import Project
    from runtime.runs import Run
    from runtime.wire import Json, Object

EXAMPLES = Path(__file__).parents[2] / "examples" / "distributed"
SLEEPER = "echo started; trap 'echo ended; exit 3' TERM; while :; do sleep 0.05; done"


def run_here(project: Project, tmp_path: Path, **changes: Json) -> Run:
    return submit(kit.a_job(tmp_path / "digits", **changes), "local", stack=None, project=project)


def until(run: Run, state: str) -> Run:
    deadline = time.monotonic() + 30
    while run.state != state:
        assert time.monotonic() < deadline, run.record
        time.sleep(0.02)
        run = run.refresh()
    return run


def test_a_job_runs_on_this_machine_without_any_stack(project: Project, tmp_path: Path) -> None:
    run = run_here(project, tmp_path)
    written: list[bytes] = []
    said: list[Event] = []
    ended = run.stream(written.append, on_event=said.append)
    assert ended.state == "Completed"
    assert b"".join(written).splitlines()[-1] == b"hello one two"
    assert said[-1] == Event("state", "Completed")
    fetched = ended.download(tmp_path / "got").written
    assert sorted(str(path.relative_to(tmp_path / "got")) for path in fetched) == [
        "azureml-logs/20_image_build_log.txt",
        "outputs/model.txt",
        "user_logs/std_log.txt",
    ]
    assert (tmp_path / "got/outputs/model.txt").read_text() == "weights"
    assert ended.download(tmp_path / "got") == ([], fetched)
    (tmp_path / "got/outputs/model.txt").write_text("mine")
    with pytest.raises(SpecError, match="was not overwritten"):
        ended.download(tmp_path / "got")
    assert (tmp_path / "got/outputs/model.txt").read_text() == "mine"


def test_a_run_says_what_scripts_need(project: Project, tmp_path: Path) -> None:
    run_here(project, tmp_path).wait(30)
    (listed,) = list_runs(project)
    document = listed.document()
    assert {key: document[key] for key in ("id", "state", "target", "experiment", "created", "metrics", "stale")} == {
        "id": listed.id,
        "state": "Completed",
        "target": "local",
        "experiment": "digits",
        "created": listed.created,
        "metrics": {},
        "stale": None,
    }
    assert isinstance(document["duration_s"], float)
    assert "token" not in document


def test_a_failed_command_is_a_failed_run_with_its_exit_code(project: Project, tmp_path: Path) -> None:
    ended = run_here(project, tmp_path, command="exit 7", inputs=None).wait(30)
    assert (ended.state, ended.record.exit_code) == ("Failed", 7)


def test_a_cancel_ends_the_run_and_is_kept(project: Project, tmp_path: Path) -> None:
    run = until(run_here(project, tmp_path, command=SLEEPER, inputs=None), "Running")
    with pytest.raises(TargetError, match=r"is still Running after 0\.05 s"):
        run.wait(0.05)
    canceled = run.cancel()
    assert canceled.record.cancel_requested
    ended = canceled.wait(30)
    assert ended.state == "Canceled"
    assert ended.cancel().record == ended.record


def test_a_run_whose_supervisor_was_killed_is_settled_by_the_next_look(project: Project, tmp_path: Path) -> None:
    run = until(run_here(project, tmp_path, command=SLEEPER, inputs=None), "Running")
    status = reading.status(run.site.store.attempt_folder(run.record))
    assert status.supervisor is not None
    os.kill(status.supervisor.pid, signal.SIGKILL)
    ended = until(find_run(project, run.id), "Failed")
    assert ended.record.reason == "the supervisor died while the run was Running (it was killed)"
    assert status.job is not None
    assert processes.members(status.job.pgid) == []


def test_an_input_in_the_cloud_needs_a_stack_that_has_a_workspace(project: Project, tmp_path: Path) -> None:
    given: Json = {"x": {"type": "uri_file", "path": "azureml://datastores/a/paths/b"}}
    with pytest.raises(SpecError, match="means something in a workspace only, and no stack is chosen"):
        run_here(project, tmp_path, inputs=given)
    (listed,) = list_runs(project)
    assert listed.state == "Failed"


def test_inputs_of_the_stacks_workspace_are_fetched_once(line: Project, tmp_path: Path) -> None:
    plane = open_site(line).cloud("emulator")
    place = blobs.datastore(plane, kit.WORKSPACE, "workspaceblobstore")
    blobs.put(plane, place, blobs.Source("here/a.csv", lambda: [b"a,b"]))
    uri = "azureml://datastores/workspaceblobstore/paths/here"
    given: Json = {"plain": {"path": uri}, "copied": {"path": uri, "mode": "download"}}
    command = "cat ${{inputs.plain}}/a.csv; echo mine >> ${{inputs.copied}}/a.csv; cat ${{inputs.copied}}/a.csv"
    for _ in range(2):
        said: list[Event] = []
        job = kit.a_job(tmp_path / "digits", command=command, inputs=given)
        run = submit(job, "local", stack="local", project=line, on_event=said.append)
        assert finished(run)[1] == b"a,ba,bmine\n"
    assert [event.text for event in said if event.topic == "data"] == [
        f"{name}: in the cache, nothing fetched" for name in given
    ]
    kept = [path for path in (cache_folder() / "data").rglob("a.csv") if path.read_bytes() == b"a,b"]
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o400]


def finished(run: Run) -> tuple[str, bytes]:
    written: list[bytes] = []
    ended = run.stream(written.append)
    assert ended.state == "Completed", (ended.record.reason, written)
    return ended.id, (ended.site.store.attempt_folder(ended.record) / "user_logs/std_log.txt").read_bytes()


def test_an_input_reaches_the_command_as_its_mode_says(project: Project, tmp_path: Path) -> None:
    data = tmp_path / "digits" / "data"
    (data / "below").mkdir(parents=True)
    (data / "a.txt").write_text("mine")
    (data / "below" / "b.txt").symlink_to(data / "a.txt")
    (data / "loop").symlink_to(data)
    (data / "a.txt").chmod(0o400)
    modes = {"plain": None, "mounted": "ro_mount", "shared": "rw_mount", "copied": "download", "told": "direct"}
    given: Object = {name: {"path": "data", **({"mode": mode} if mode else {})} for name, mode in modes.items()}
    given["one"] = {"type": "uri_file", "path": "data/a.txt", "mode": "download"}
    given["away"] = {"type": "uri_file", "path": "https://127.0.0.1:1/x", "mode": "direct"}
    names = " ".join(f"${{{{inputs.{name}}}}}" for name in given)
    command = f"for x in {names}; do echo $x; done; cd ${{{{inputs.copied}}}}; echo theirs > a.txt; find . | sort"
    run_id, log = finished(run_here(project, tmp_path, command=command, inputs=given))
    run_dir = project.data / "runs" / run_id / "attempt-1"
    assert log.decode().splitlines() == [
        *[str(data)] * 3, str(run_dir / "inputs/copied"), str(data),
        str(run_dir / "inputs/one/a.txt"), "https://127.0.0.1:1/x",
        ".", "./a.txt", "./below", "./below/b.txt",
    ]  # fmt: skip
    assert (data / "a.txt").read_text() == "mine"
    assert (run_dir / "inputs/copied/below/b.txt").read_text() == "mine"


def test_a_mode_that_this_machine_can_not_do_is_refused(project: Project, tmp_path: Path) -> None:
    given: Json = {"x": {"path": "src", "mode": "eval_mount"}}
    with pytest.raises(SpecError, match="eval_mount can't be done on this target"):
        run_here(project, tmp_path, inputs=given)
    assert list_runs(project) == []


def test_outputs_are_brought_where_the_job_wants_them(project: Project, tmp_path: Path) -> None:
    wanted: Object = {
        "kept": None,
        "file": {"type": "uri_file"},
        "model": {"path": "given/model"},
        "report": {"type": "uri_file", "path": "given/report.txt"},
        "direct": {"path": "given/direct", "mode": "rw_mount"},
        "away": {"path": "azureml://datastores/a/paths/b"},
    }
    given = tmp_path / "digits" / "given"
    (given / "model").mkdir(parents=True)
    (given / "model" / "old.txt").write_text("old")
    (given / "model" / "m.txt").write_text("old")
    command = (
        "mkdir ${{outputs.model}}/deep; echo m | tee ${{outputs.model}}/m.txt > ${{outputs.model}}/deep/n.txt; "
        "echo r > ${{outputs.report}}; echo f > ${{outputs.file}}; echo k > ${{outputs.kept}}/k.txt; "
        "echo d > ${{outputs.direct}}/d.txt; ls -A " + str(given) + "/model; echo ${{outputs.away}}"
    )
    said: list[Event] = []
    job = kit.a_job(tmp_path / "digits", command=command, inputs=None, outputs=wanted)
    run = submit(job, "local", stack=None, project=project, on_event=said.append)
    run_id, log = finished(run)
    run_dir = project.data / "runs" / run_id / "attempt-1"
    assert log.decode() == f"m.txt\nold.txt\n{run_dir}/named/away\n"
    found = {path.relative_to(given).as_posix(): path.read_text() for path in given.rglob("*") if path.is_file()}
    assert found == {
        "model/old.txt": "old", "model/m.txt": "m\n", "model/deep/n.txt": "m\n", "report.txt": "r\n",
        "direct/d.txt": "d\n",
    }  # fmt: skip
    names = [file.name for file in submitters.of("Local").files(run.site, run.record)]
    assert [name for name in names if name.startswith("named-outputs/")] == [
        f"named-outputs/{name}"
        for name in ("file/file", "kept/k.txt", "model/m.txt", "model/deep/n.txt", "report/report.txt")
    ]
    note = "outputs.away.path is in the cloud, and nothing is uploaded from this machine: the output stays with the run"
    assert Event("note", note) in said


def test_an_output_that_can_not_be_delivered_fails_the_run_and_stays_with_it(project: Project, tmp_path: Path) -> None:
    wanted: Object = {"model": {"path": "given"}}
    command = f"echo m > ${{{{outputs.model}}}}/m.txt; mkdir -p {tmp_path}/digits/given/m.txt"
    ended = run_here(project, tmp_path, command=command, inputs=None, outputs=wanted).wait(30)
    place = tmp_path / "digits" / "given"
    assert (ended.state, ended.record.reason) == (
        "Failed",
        f"the output model could not be written to {place}/m.txt: Is a directory; it is with the run",
    )


def test_an_output_whose_place_is_of_another_kind_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"is a folder, and the output is a file \(uri_file\)"):
        run_here(project, tmp_path, outputs={"x": {"type": "uri_file", "path": "src"}})
    with pytest.raises(SpecError, match="is a file, and the output is a folder"):
        run_here(project, tmp_path, outputs={"x": {"path": "src/train.py"}})
    assert list_runs(project) == []


def test_the_outputs_of_the_attempt_before_are_there_first(project: Project, tmp_path: Path) -> None:
    before = tmp_path / "before"
    (before / "checkpoint").mkdir(parents=True)
    (before / "checkpoint" / "step").write_text("7")
    job = kit.a_job(tmp_path / "digits", command="cat outputs/checkpoint/step", inputs=None)
    run = submit(job, "local", stack=None, project=project, options=Options(restore=str(before)))
    assert finished(run)[1] == b"7"


def test_outputs_are_listed_while_the_run_goes_on(project: Project, tmp_path: Path) -> None:
    command = (
        "echo one > outputs/one.txt; echo started; until [ -e go ]; do sleep 0.05; done; "
        "mv outputs/one.txt outputs/two.txt"
    )
    run = until(run_here(project, tmp_path, command=command, inputs=None), "Running")
    folder = run.site.store.attempt_folder(run.record)

    def outputs() -> list[str]:
        found = submitters.of("Local").files(run.site, run.record)
        return [file.name for file in found if file.name.startswith("outputs/")]

    while b"started" not in (folder / "user_logs/std_log.txt").read_bytes():
        time.sleep(0.02)
    assert outputs() == ["outputs/one.txt"]
    (folder / "code" / "go").write_text("")
    run.wait(30)
    assert outputs() == ["outputs/two.txt"]


def distributed(project: Project, name: str) -> tuple[Run, bytes, list[Event], dict[str, bytes]]:
    said: list[Event] = []
    written: list[bytes] = []
    run = submit(EXAMPLES / f"{name}.yml", "local", stack=None, project=project, on_event=said.append)
    ended = run.stream(written.append, on_event=said.append)
    assert ended.state == "Completed", (ended.record.reason, b"".join(written))
    folder = ended.site.store.attempt_folder(ended.record)
    logs = {name: (folder / name).read_bytes() for name in layout.logs(folder) if name.startswith("user_logs/")}
    assert Event("note", "this machine stands for 2 nodes: 4 processes on it") in said
    return ended, b"".join(written), said, logs


@pytest.mark.parametrize("name", ["pytorch", "mpi"])
def test_two_nodes_of_two_processes_add_up_on_this_machine(project: Project, name: str) -> None:
    ended, written, said, logs = distributed(project, name)
    own = {
        f"user_logs/std_log_process_{rank}.txt": f"rank {rank} of 4 (node 0, local rank {rank}): sum 10, expected 10\n"
        for rank in range(4)
    }
    assert {log: content.decode() for log, content in logs.items() if log in own} == own
    assert sorted(logs) == sorted([*own, *([layout.MPIRUN_LOG] if name == "mpi" else [])])
    shown = [event.text for event in said if event.topic == "log"]
    assert [log for log in shown if log in own] == list(own)
    for line in own.values():
        assert line.encode() in written
    folder = ended.site.store.attempt_folder(ended.record)
    assert (layout.outputs_dir(folder) / "sum.txt").read_text() == "10\n"


def test_workers_and_a_parameter_server_add_up_on_this_machine(project: Project) -> None:
    _, _, _, logs = distributed(project, "tensorflow")
    assert {name: content.decode() for name, content in logs.items()} == {
        **{
            f"user_logs/std_log_process_{worker}.txt": f"worker {worker} of 3: sum 6, expected 6\n"
            for worker in range(3)
        },
        "user_logs/std_log_process_3_ps.txt": "sum 6 of 3 workers\n",
    }


def test_a_process_that_fails_on_this_machine_is_named(project: Project, tmp_path: Path) -> None:
    run = run_here(
        project, tmp_path, inputs=None, command="[ $RANK = 3 ] && exit 5; sleep 60",
        distribution={"type": "pytorch", "process_count_per_instance": 2}, resources={"instance_count": 2},
    )  # fmt: skip
    ended = run.wait(30)
    assert (ended.state, ended.record.exit_code, ended.record.reason) == (
        "Failed", 5, "rank 3 exited with code 5; see user_logs/std_log_process_3.txt",
    )  # fmt: skip


def test_nodes_that_would_get_no_process_are_refused(project: Project, tmp_path: Path) -> None:
    given: Json = {"type": "tensorflow", "worker_count": 1}
    with pytest.raises(SpecError, match=r"leave some of 3 nodes without a process"):
        run_here(project, tmp_path, distribution=given, resources={"instance_count": 3})
    assert list_runs(project) == []


def test_a_name_can_be_used_once(project: Project, tmp_path: Path) -> None:
    assert run_here(project, tmp_path, name="mine").id == "mine"
    with pytest.raises(SpecError, match="already has a run of that name"):
        run_here(project, tmp_path, name="mine")
    runs.find_run(project, "mine").wait(30)


def test_values_of_environment_variables_are_nowhere_but_in_the_runs_own_private_folder(
    project: Project, tmp_path: Path
) -> None:
    said: list[Event] = []
    job = kit.a_job(tmp_path / "digits", environment_variables={"API_KEY": "canary-5913"})
    run = submit(job, "local", stack=None, project=project, on_event=said.append)
    ended = run.stream(lambda _: None, on_event=said.append)
    assert "canary" not in repr(said) + repr(ended)
    holders = [path.name for path in project.data.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    assert holders == ["job.json"]


def run_with(project: Project, tmp_path: Path, command: str, **settings: float | str) -> tuple[Run, bytes, list[Event]]:
    local = LocalTarget.model_validate({"name": "local", **settings})
    stack = kit.some_outputs().model_copy(update={"local": local})
    said: list[Event] = []
    written: list[bytes] = []
    job = kit.a_job(tmp_path / "digits", command=command, inputs=None)
    run = submit(job, "local", stack=stack, project=project, on_event=said.append)
    ended = run.stream(written.append, on_event=said.append)
    return ended, b"".join(written), said


def test_an_interpreter_of_ones_own_runs_the_job_as_it_is(project: Project, tmp_path: Path) -> None:
    ask = 'python -c "import sys; print(sys.executable)"'
    ended, log, said = run_with(project, tmp_path, ask, interpreter=sys.executable)
    assert (ended.state, log.decode().strip()) == ("Completed", sys.executable)
    assert ended.record.environment == f"user-managed: {sys.executable}"
    note = f"the job's environment is not built: it runs with {sys.executable} as it is (local.interpreter)"
    assert Event("note", note) in said


def test_an_interpreter_that_is_not_there_is_refused_before_anything_is_written(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(TargetError) as error:
        run_with(project, tmp_path, "true", interpreter="nowhere/python")
    assert str(error.value) == (
        f"local.interpreter of the stack is {project.root}/nowhere/python, which is missing or not executable here. "
        "Change it in the stack's file, then: invoke up"
    )
    assert list_runs(project) == []


def test_environments_are_kept_where_the_stack_says(project: Project, tmp_path: Path) -> None:
    ended, _, _ = run_with(project, tmp_path, "true", environments_folder=str(tmp_path / "kept"))
    assert ended.state == "Completed"
    built = reading.status(ended.site.store.attempt_folder(ended.record)).environment
    assert built is not None
    assert built.interpreter == str(tmp_path / "kept" / built.id / "bin" / "python")


def test_a_run_keeps_to_the_limits_of_the_stacks_local(project: Project, tmp_path: Path) -> None:
    ask = "import os, resource; print(len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_AS)[0])"
    ended, log, _ = run_with(
        project, tmp_path, f'python -c "{ask}"', interpreter=sys.executable, cpus=1, memory_gib=0.5
    )
    assert (ended.state, log) == ("Completed", f"1 {1 << 29}\n".encode())
