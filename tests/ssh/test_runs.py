"""Runs on a real sshd: what arrives there, what comes back, what is not sent again."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from node import layout, processes, reading
from runtime import runs, submitters
from runtime.site import open_site
from tests.ssh import kit

if TYPE_CHECKING:
    from runtime.runs import Run

METRIC = """
import json, os, time, urllib.request as u
def call(path, **body):
    request = u.Request(os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path, json.dumps(body).encode(),
                        {"Content-Type": "application/json", "Authorization": "Basic " + __import__("base64").b64encode(
                         (os.environ.get("MLFLOW_TRACKING_USERNAME", "") + ":" +
                          os.environ.get("MLFLOW_TRACKING_PASSWORD", "")).encode()).decode()})
    if os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"])
    return u.urlopen(request).read()
run = os.environ["MLFLOW_RUN_ID"]
for step in range(3):
    call("runs/log-metric", run_id=run, key="loss", value=1 / (step + 1), timestamp=1000 + step, step=step)
call("runs/log-parameter", run_id=run, key="depth", value="3")
"""


def finished(run: Run) -> Run:
    ended = run.wait(120)
    assert ended.state == "Completed", (ended.record.reason, kit.log_of(ended))
    return ended


def contents(run: Run) -> dict[str, bytes]:
    listed = submitters.of(run.record.kind).files(run.site, run.record)
    return {file.name: b"".join(file.read()) for file in listed}


def test_inputs_outputs_variables_and_metrics_go_there_and_come_back(client: kit.Client, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    (folder / "data/deep").mkdir(parents=True)
    (folder / "data/deep/a b.txt").write_bytes(b"in a folder\n")
    (folder / "one.bin").write_bytes(bytes(range(256)) * 8192)
    job = kit.a_job(
        folder,
        "python metric.py && cat '${{inputs.folder}}/deep/a b.txt' && wc -c < ${{inputs.file}} "
        "&& echo $COLOUR ${{inputs.word}} && mkdir -p outputs logs && cp ${{inputs.file}} outputs/copy.bin "
        "&& echo note > logs/note.txt && echo named > ${{outputs.kept}}/n.txt",
        inputs={
            "folder": {"type": "uri_folder", "path": "data"},
            "file": {"type": "uri_file", "path": "one.bin"},
            "word": "x y",
        },
        outputs={"kept": {"type": "uri_folder"}},
        environment_variables={"COLOUR": "blue"},
    )
    (folder / "src/metric.py").write_text(METRIC)
    run = finished(client.submit(job))
    assert kit.log_of(run) == b"in a folder\n2097152\nblue x y\n"
    found = contents(run)
    assert {name: len(content) for name, content in found.items() if not name.startswith("azureml-logs/")} == {
        "outputs/copy.bin": 2097152,
        "logs/note.txt": 5,
        "named-outputs/kept/n.txt": 6,
        "user_logs/std_log.txt": len(kit.log_of(run)),
    }
    assert found["outputs/copy.bin"] == (folder / "one.bin").read_bytes()
    assert run.metrics == {"loss": 1 / 3}
    assert [tuple(point) for point in run.history("loss")] == [(1.0, 0, 1000), (0.5, 1, 1001), (1 / 3, 2, 1002)]
    assert (run.record.exit_code, run.record.phase, run.record.fidelity) == (0, "acknowledged", "translated")
    assert run.record.machine is not None
    assert run.record.machine.folder == str(client.machine.run_dir(run.id))


def test_a_download_brings_what_is_new(client: kit.Client, tmp_path: Path) -> None:
    command = "echo 1 > outputs/one; touch ready; while [ ! -e go ]; do sleep 0.05; done; echo 22 > outputs/two"
    run = client.submit(kit.a_job(tmp_path / "job", command))
    work = layout.workdir(client.machine.run_dir(run.id))
    kit.until((work / "ready").exists)
    first = run.download(tmp_path / "got")
    assert (tmp_path / "got/outputs/one").read_bytes() == b"1\n"
    (work / "go").touch()
    later = finished(run).download(tmp_path / "got")
    assert tmp_path / "got/outputs/one" in first.written
    assert tmp_path / "got/outputs/two" in later.written
    assert tmp_path / "got/outputs/one" not in later.written
    assert (tmp_path / "got/outputs/two").read_bytes() == b"22\n"


def test_a_job_for_several_nodes_has_all_its_processes_there(client: kit.Client, tmp_path: Path) -> None:
    job = kit.a_job(
        tmp_path / "job",
        "echo $RANK of $WORLD_SIZE on $AZUREML_NODE_COUNT",
        distribution={"type": "pytorch", "process_count_per_instance": 2},
        resources={"instance_count": 2},
    )
    run = finished(client.submit(job))
    logs = [kit.log_of(run, f"user_logs/std_log_process_{rank}.txt") for rank in range(4)]
    assert logs == [b"%d of 4 on 1\n" % rank for rank in range(4)]
    assert "gpu-box stands for 2 nodes: 4 processes on it" in client.said("note")


def test_only_what_changed_is_sent_again(client: kit.Client, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "job", "cat deep/*.txt | wc -c", inputs={"d": {"type": "uri_folder", "path": "data"}})
    (tmp_path / "job/src/deep").mkdir()
    (tmp_path / "job/data").mkdir()
    (tmp_path / "job/data/large.bin").write_bytes(b"7" * (2 << 20))
    for number in range(100):
        (tmp_path / f"job/src/deep/{number}.txt").write_text(f"{number:>40}")
    first = finished(client.submit(job))
    assert kit.log_of(first) == b"4000\n"
    before = client.machine.objects()
    client.events.clear()
    second = finished(client.submit(job))
    assert (kit.log_of(second), client.machine.objects()) == (b"4000\n", before)
    assert client.said("snapshot") == ["101 files, already there, nothing sent"]
    (tmp_path / "job/src/deep/7.txt").write_text("another")
    client.events.clear()
    third = finished(client.submit(job))
    assert (kit.log_of(third), client.said("snapshot")) == (b"3967\n", ["101 files, 7 B sent"])
    assert {name: inode for name, inode in client.machine.objects().items() if name in before} == before


def test_an_environment_is_built_once(client: kit.Client, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "job", "python -c 'pass'")
    cached = []
    for _ in range(2):
        run = finished(client.submit(job))
        built = reading.status(client.machine.run_dir(run.id)).environment
        cached.append(built.cached if built else None)
    assert cached == [False, True]


def test_a_tree_that_ignores_term_is_gone_within_ten_seconds(client: kit.Client, tmp_path: Path) -> None:
    command = "trap '' TERM; (trap '' TERM; sleep 300 & sleep 300) & echo up; while :; do sleep 1; done"
    run = client.submit(kit.a_job(tmp_path / "job", command))
    kit.until(lambda: kit.log_of(run) == b"up\n")
    mark = reading.status(client.machine.run_dir(run.id)).mark
    assert mark is not None
    began = time.monotonic()
    ended = run.cancel().wait(20)
    assert time.monotonic() - began < 10
    assert (ended.state, ended.record.reason) == ("Canceled", "canceled by the user")
    assert processes.marked(mark) == []


def test_a_run_goes_on_without_its_client_and_another_process_sees_its_end(client: kit.Client, tmp_path: Path) -> None:
    run = client.submit(kit.a_job(tmp_path / "job", "for i in 1 2 3; do echo $i; sleep 0.3; done"))
    client.close()
    with kit.client(tmp_path / "project", client.machine) as later:
        found = runs.find_run(later.project, run.id, site=later.site).wait(120)
        assert (found.state, kit.log_of(found)) == ("Completed", b"1\n2\n3\n")


def test_a_wish_to_cancel_outlives_a_machine_that_is_away(client: kit.Client, tmp_path: Path) -> None:
    run = client.submit(kit.a_job(tmp_path / "job", "echo up; sleep 300"))
    kit.until(lambda: kit.log_of(run) == b"up\n")
    client.machine.kill()
    client.impatient()
    wished = run.cancel()
    assert (wished.record.cancel_requested, wished.record.cancel_sent, wished.terminal) == (True, False, False)
    assert wished.stale is not None
    client.machine.start()
    assert wished.wait(120).state == "Canceled"


def test_a_job_can_not_damage_what_others_get(client: kit.Client, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/large.bin").write_bytes(b"a" * (1 << 20))
    spoil = (
        "echo spoilt >> train.py; chmod u+w ${{inputs.d}} && printf X | dd of=${{inputs.d}} conv=notrunc status=none"
    )
    given = {"d": {"type": "uri_file", "path": "large.bin"}}
    finished(client.submit(kit.a_job(tmp_path / "job", spoil, inputs=given)))
    job = kit.a_job(tmp_path / "job", "wc -c < train.py; head -c 1 ${{inputs.d}}", inputs=given)
    run = finished(client.submit(job))
    assert kit.log_of(run) == b"%d\na" % (tmp_path / "job/src/train.py").stat().st_size


def test_what_is_kept_there_is_the_users_alone(client: kit.Client, tmp_path: Path) -> None:
    run = finished(client.submit(kit.a_job(tmp_path / "job", "echo x > outputs/f")))
    kept = client.machine.kept
    paths = [kept, *kept.glob("*"), *kept.glob("objects/**/*"), *client.machine.run_dir(run.id).rglob("*")]
    mine = {path: path.stat().st_mode for path in paths if not path.is_symlink() and "python" not in path.parts}
    assert [f"{stat.filemode(mode)} {path.relative_to(kept)}" for path, mode in mine.items() if mode & 0o077] == []


def test_secrets_of_a_job_are_in_no_command_line_and_no_log(client: kit.Client, tmp_path: Path) -> None:
    canary, seen, done = "canary-" + os.urandom(8).hex(), [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if canary.encode() in path.read_bytes():
                        seen.append(str(path))
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        job = kit.a_job(tmp_path / "job", "echo ${#KEY}; sleep 0.5", environment_variables={"KEY": canary})
        run = finished(client.submit(job))
    finally:
        done.set()
        watcher.join()
    assert (kit.log_of(run), seen) == (b"23\n", [])
    held = [
        path for path in client.machine.folder.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()
    ]
    assert [(path.name, stat.filemode(path.stat().st_mode)) for path in held] == [(layout.JOB, "-rw-------")]
    assert not any(canary in event.text for event in client.events)


def test_values_reach_the_script_unchanged(client: kit.Client, tmp_path: Path) -> None:
    values = [
        "two words", "'single'", '"double"', "back\\slash", "line\nbreak", "tab\there", "; touch hacked",
        "`touch hacked`", "$(touch hacked)", "$HOME ${PATH}", "-rf", "--help", "über 日本 🚂", "a&b|c>d<e", "*?[a]",
        "#no comment", "~", "!x", " ", "%s %d", "${{inputs.a}}",
    ]  # fmt: skip
    folder = tmp_path / "job"
    inputs: dict[str, object] = {f"i{number}": value for number, value in enumerate(values)}
    data = folder / "it's $(data) -x"
    data.mkdir(parents=True)
    (data / "-n 'q' $(x) ü.txt").write_text("in\n")
    job = kit.a_job(
        folder,
        "python show.py " + " ".join(f"${{{{inputs.i{number}}}}}" for number in range(len(values))) + " ${{inputs.d}}",
        inputs={**inputs, "d": {"type": "uri_folder", "path": data.name}},
        environment_variables={f"V{number}": value for number, value in enumerate(values)},
        display_name="$(touch hacked); 'x'",
    )
    (folder / "src/show.py").write_text(
        "import json, os, sys\n"
        "names = sorted(os.listdir(sys.argv[-1]))\n"
        "variables = [os.environ[f'V{number}'] for number in range(len(sys.argv) - 2)]\n"
        "print(json.dumps([sys.argv[1:-1], variables, names]))\n"
    )
    (folder / "src/-x $(touch hacked) 'ü'.py").write_text("pass\n")
    run = finished(client.submit(job))
    assert json.loads(kit.log_of(run)) == [values, values, ["-n 'q' $(x) ü.txt"]]
    assert list(client.machine.folder.rglob("hacked")) == []
    assert (client.machine.run_dir(run.id) / "code/-x $(touch hacked) 'ü'.py").read_text() == "pass\n"


def test_two_clones_may_use_one_name_but_not_one_folder(client: kit.Client, tmp_path: Path) -> None:
    job = kit.a_job(tmp_path / "job", "echo mine", name="same-name")
    finished(client.submit(job))
    with kit.client(tmp_path / "other", client.machine) as other:
        assert kit.message(lambda: other.submit(job)) == (
            f"gpu-box (127.0.0.1:{client.machine.port}) already has a run named same-name "
            f"({client.machine.run_dir('same-name')}). Submit again, or choose another name"
        )
        assert runs.find_run(other.project, "same-name", site=open_site(other.project)).state == "Failed"


def test_a_remote_input_given_directly_is_its_address_there_too(client: kit.Client, tmp_path: Path) -> None:
    address = "https://team.blob.core.windows.net/sets/a.csv"
    given = {"a": {"type": "uri_file", "path": address, "mode": "direct"}}
    run = finished(client.submit(kit.a_job(tmp_path / "job", "echo ${{inputs.a}}", inputs=given)))
    assert kit.log_of(run) == f"{address}\n".encode()
