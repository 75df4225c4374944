"""A job in a Docker container: what the client is told, what reaches the command, and that nothing outlives the run."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from node import docker, environments, launch, layout, processes, prune, reading
from node import status as statuses
from node.installers import EnvironmentRefused
from node.job import parse
from node.plan import EnvironmentPlan, Image
from tests.node.engine import NO_CONDA, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.layout import Json
    from tests.node.conftest import Runs

IMAGE = "registry.example/team/train:7"
CONDA = "dependencies:\n- python=3.10\n- r-base\n"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Put a Docker client on PATH whose engine is this process."""
    (tmp_path / "bin").mkdir()
    made = Engine(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.install()}{os.pathsep}{os.environ['PATH']}")
    with made.start():
        yield made
    for _, process in made.containers.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def plan(tmp_path: Path, image: str = IMAGE, **more: Json) -> dict[str, Json]:
    return {"cache": str(tmp_path / "cache"), "image": {"name": image}, **more}


@pytest.mark.processes
def test_a_command_runs_in_the_image_with_the_runs_folder_at_its_own_path(
    runs: Runs, tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "data, own").mkdir()
    image: Json = {"name": IMAGE, "docker_args": ["--memory", "2g"], "shm_size": "3g", "gpus": True}
    run_dir = runs.start(
        'echo "$IMAGE"; pwd; echo weights > ${{outputs.model}}/w; ls -d ${{inputs.data}}; exit 4',
        environment={"cache": str(tmp_path / "cache"), "image": image},
        inputs={"data": {"path": str(tmp_path / "data, own")}, "n": {"value": "/etc"}},
        outputs={"model": {"path": "named/model"}},
        limits={"cpus": 1},
    )
    status = runs.end(run_dir)
    assert (status.state, status.exit_code, status.reason) == ("Failed", 4, "the command exited with code 4")
    assert runs.log(run_dir).decode().splitlines() == [IMAGE, str(run_dir / "code"), f"{tmp_path}/data, own"]
    assert (run_dir / "named/model/w").read_text() == "weights\n"
    assert status.environment is not None
    assert (status.environment.id, status.environment.cached) == (f"docker:{IMAGE}", False)
    (told,) = engine.runs()
    mine = sorted(os.sched_getaffinity(0))
    processor = str(mine[zlib.crc32(run_dir.name.encode()) % len(mine)])
    data = f"{tmp_path}/data, own"
    assert told == [
        "run", "--rm", "--interactive", "--init", "--pull", "never", "--network", "host",
        "--label", f"trainyard.run={status.mark}", "--workdir", str(run_dir / "code"),
        "--env", "TINI_KILL_PROCESS_GROUP=1", "--ulimit", "core=0", "--user", f"{os.getuid()}:{os.getgid()}",
        "--mount", f"type=bind,source={run_dir},target={run_dir}",
        "--mount", f'type=bind,"source={data}","target={data}",readonly',
        "--shm-size", "3g", "--gpus", "all", "--cpuset-cpus", processor, "--memory", "2g",
        "--entrypoint", "/bin/sh", IMAGE, "-c", 'eval "$(cat)"',
    ]  # fmt: skip


@pytest.mark.processes
def test_the_pull_is_told_in_the_build_log_and_done_once(runs: Runs, tmp_path: Path, engine: Engine) -> None:
    first = runs.start("true", environment=plan(tmp_path))
    assert runs.end(first).state == "Completed"
    lines = (first / layout.BUILD_LOG).read_text().splitlines()
    assert lines[:3] == [f"image {IMAGE}: pulling it", "a1b2: Pulling fs layer", "a1b2: Pull complete"]
    assert lines[3].endswith("s, sha256:4a1c")
    second = runs.start("true", environment=plan(tmp_path))
    assert runs.end(second).state == "Completed"
    assert (second / layout.BUILD_LOG).read_text() == f"image {IMAGE}: here already, sha256:4a1c\n"
    assert [call for call in engine.calls if call[0] == "pull"] == [["pull", IMAGE]]


@pytest.mark.processes
@pytest.mark.usefixtures("engine")
def test_an_image_that_cannot_be_pulled_is_the_runs_reason(runs: Runs, tmp_path: Path) -> None:
    status = runs.end(runs.start("true", environment=plan(tmp_path, "private")))
    assert (status.state, status.reason) == (
        "Failed",
        "image private could not be pulled (docker failed): Error response from daemon: pull access denied for private",
    )


VALUES = {
    "QUOTES": "a'b\"c",
    "LINES": "one\ntwo\n\n",
    "SHELL": "$(touch /tmp/never) `id` ; & | $HOME \\",
    "DASH": "-rf --",
    "UNICODE": "größe ☃",
    "EMPTY": "",
}


@pytest.mark.processes
def test_values_reach_the_container_unchanged_and_are_on_no_command_line(
    runs: Runs, tmp_path: Path, engine: Engine
) -> None:
    canary = "canary-7713"
    run_dir = runs.start(
        "env -0 > ${{outputs.seen}}/env; printf %s ${{inputs.given}} > ${{outputs.seen}}/given",
        environment=plan(tmp_path),
        environment_variables={**VALUES, "API_KEY": canary},
        inputs={"given": {"value": VALUES["LINES"] + VALUES["SHELL"]}},
        outputs={"seen": {"path": "named/seen"}},
    )
    assert runs.end(run_dir).state == "Completed"
    raw = (run_dir / "named/seen/env").read_bytes().decode()
    seen = dict(entry.split("=", 1) for entry in raw.split("\0") if "=" in entry)
    assert {name: seen[name] for name in VALUES} == VALUES
    assert (seen["API_KEY"], seen["HOME"], seen["PATH"]) == (canary, "/tmp", os.defpath)
    assert (run_dir / "named/seen/given").read_text() == VALUES["LINES"] + VALUES["SHELL"]
    assert not [call for call in engine.calls if canary in " ".join(call)]
    (run_dir / "named/seen/env").unlink()
    assert [path.name for path in run_dir.rglob("*") if path.is_file() and canary in path.read_text("latin-1")] == [
        "job.json"
    ]


@pytest.mark.processes
@pytest.mark.parametrize("kind", [None, "mpi"])
def test_a_secret_reaches_the_container_and_neither_the_engines_words_nor_the_log(
    runs: Runs, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    canary = "canary 'of' \"hf_7713\""
    monkeypatch.setenv("HF_TOKEN", canary)
    if kind and shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed (Debian: openmpi-bin)")
    distribution: Json = {"kind": kind, "nodes": ["127.0.0.1"], "node_rank": 0, "processes": 2, "master_port": 29500}
    run_dir = runs.create(
        'printf "%s" "$HF_TOKEN" | sha256sum; echo "<$HF_TOKEN>"',
        environment=plan(tmp_path),
        secrets=["HF_TOKEN"],
        **({"distribution": distribution} if kind else {}),
    )
    launch.start(run_dir, secrets={"HF_TOKEN": canary})
    assert runs.end(run_dir).state == "Completed", runs.log(run_dir)
    said = f"{hashlib.sha256(canary.encode()).hexdigest()}  -\n<***>\n"
    logs = [name for name in layout.logs(run_dir) if name.startswith("user_logs") and "mpirun" not in name]
    assert [(run_dir / name).read_text() for name in logs] == [said] * (2 if kind else 1)
    assert not [call for call in engine.calls if "7713" in " ".join(call)]
    assert not [path for path in run_dir.rglob("*") if path.is_file() and "7713" in path.read_text("latin-1")]


@pytest.mark.processes
def test_a_cancel_ends_a_container_that_does_not_listen_within_ten_seconds(
    runs: Runs, tmp_path: Path, engine: Engine
) -> None:
    from node import control

    command = "trap '' TERM; echo started; while :; do sleep 0.05; done"
    run_dir = runs.start(command, environment=plan(tmp_path), grace_s=1)
    runs.line(run_dir, b"started")
    began = time.monotonic()
    control.cancel(run_dir, "enough")
    assert runs.end(run_dir).state == "Canceled"
    assert time.monotonic() - began < 10
    assert [process.wait(5) for _, process in engine.containers.values()] == [-signal.SIGKILL]


@pytest.mark.processes
def test_a_cancel_lets_a_container_end_by_itself(runs: Runs, tmp_path: Path, engine: Engine) -> None:
    from node import control

    command = "trap 'echo bye; exit 3' TERM; echo started; while :; do sleep 0.05; done"
    run_dir = runs.start(command, environment=plan(tmp_path))
    runs.line(run_dir, b"started")
    control.cancel(run_dir)
    assert runs.end(run_dir).state == "Canceled"
    assert runs.log(run_dir).splitlines()[-1] == b"bye"
    assert [process.wait(5) for _, process in engine.containers.values()] == [3]


@pytest.mark.processes
def test_the_container_of_a_supervisor_that_was_killed_is_ended(runs: Runs, tmp_path: Path, engine: Engine) -> None:
    from node import control

    run_dir = runs.start("echo started; sleep 60", environment=plan(tmp_path))
    runs.line(run_dir, b"started")
    status = runs.running(run_dir)
    assert status.supervisor is not None
    os.kill(status.supervisor.pid, signal.SIGKILL)
    runs.until(lambda: None if processes.is_locked(run_dir / layout.LOCK) else True)
    assert control.settle(run_dir).state == "Failed"
    assert [process.wait(5) < 0 for _, process in engine.containers.values()] == [True]


@pytest.mark.processes
def test_a_conda_file_is_built_inside_its_image_once(runs: Runs, tmp_path: Path, engine: Engine) -> None:
    environment = plan(tmp_path, conda=CONDA)
    first, second = (runs.end(runs.start("echo $IMAGE", environment=environment)) for _ in range(2))
    assert (first.state, second.state) == ("Completed", "Completed")
    assert first.environment is not None
    assert second.environment is not None
    assert (first.environment.cached, second.environment.cached) == (False, True)
    assert first.environment.id == second.environment.id
    tag = first.environment.id.removeprefix(docker.ID)
    assert [call[-1] for call in engine.runs()] == ['eval "$(cat)"'] * 2
    assert runs.log(runs.made[0]).decode().strip() == tag
    assert len(engine.dockerfiles) == 1
    assert engine.dockerfiles[0] == (
        f"FROM {IMAGE}\n"
        "USER root\n"
        "COPY conda.yml /azureml-environment-setup/conda.yml\n"
        "RUN command -v conda >/dev/null || "
        "{ echo 'error: the image has no conda, and its conda_file needs one'; exit 1; }\n"
        "RUN conda env create -p /azureml-envs/trainyard -f /azureml-environment-setup/conda.yml && conda clean -aqy\n"
        "ENV PATH=/azureml-envs/trainyard/bin:$PATH CONDA_PREFIX=/azureml-envs/trainyard "
        "CONDA_DEFAULT_ENV=/azureml-envs/trainyard\n"
        "ENV LD_LIBRARY_PATH=/azureml-envs/trainyard/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n"
    )
    folder = tmp_path / "cache" / tag.partition(":")[2]
    assert (folder / "conda.yml").read_text() == CONDA


@pytest.mark.processes
def test_an_image_is_built_from_its_context_once_for_a_content(runs: Runs, tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/own.dockerfile").write_text("FROM scratch\n")

    def image_of(content: str) -> str:
        image: Json = {
            "name": "built-from-context",
            "context": str(tmp_path / "context"),
            "dockerfile": "own.dockerfile",
            "content": content,
        }
        status = runs.end(runs.start("true", environment={"cache": str(tmp_path / "cache"), "image": image}))
        assert status.environment is not None
        return status.environment.id

    first, again, other = image_of("a"), image_of("a"), image_of("b")
    assert (first == again, first == other, engine.dockerfiles) == (True, False, ["FROM scratch\n"] * 2)
    assert [call[0] for call in engine.calls if call[0] == "pull"] == []


@pytest.mark.processes
@pytest.mark.usefixtures("engine")
def test_a_container_that_docker_could_not_start_says_so(runs: Runs, tmp_path: Path) -> None:
    run_dir = runs.start("true", environment=plan(tmp_path, "broken"))
    assert runs.end(run_dir).reason == (
        "the command exited with code 125, Docker's own for a container that it could not start: see the log"
    )
    assert runs.log(run_dir) == b"docker: Error response from daemon: no such runtime\n"


@pytest.mark.processes
@pytest.mark.usefixtures("engine")
def test_a_full_disk_of_the_engine_says_so(runs: Runs, tmp_path: Path) -> None:
    status = runs.end(runs.start("true", environment=plan(tmp_path, "too-large")))
    assert status.reason == (
        "image too-large could not be pulled: the Docker engine's disk is full. Make room: docker system prune"
    )


@pytest.mark.processes
@pytest.mark.usefixtures("engine")
def test_an_image_without_conda_says_so(runs: Runs, tmp_path: Path) -> None:
    status = runs.end(runs.start("true", environment=plan(tmp_path, NO_CONDA, conda=CONDA)))
    assert status.reason == (
        f"image {NO_CONDA} could not be built (docker failed): the image has no conda, and its conda_file needs one"
    )


@pytest.mark.processes
@pytest.mark.usefixtures("engine")
def test_each_process_of_a_job_has_a_container(runs: Runs, tmp_path: Path) -> None:
    run_dir = runs.start(
        "echo $RANK of $WORLD_SIZE",
        environment=plan(tmp_path),
        distribution={"kind": "pytorch", "nodes": ["127.0.0.1"], "node_rank": 0, "processes": 2},
    )
    assert runs.end(run_dir).state == "Completed"
    logs = [(run_dir / f"user_logs/std_log_process_{rank}.txt").read_text() for rank in range(2)]
    assert logs == ["0 of 2\n", "1 of 2\n"]


@pytest.mark.processes
def test_files_are_the_users_own_with_a_rootless_engine_too(tmp_path: Path, engine: Engine) -> None:
    engine.rootless = True
    layout.create(tmp_path / "run", {"run_id": "r", "command": "true"})
    job = parse({"run_id": "r", "command": "true", "environment": plan(tmp_path)}, tmp_path / "run")
    assert job.environment.image is not None
    made = docker.container(job.environment.image, IMAGE, tmp_path / "run", job, "m")
    assert (made.root, "--user" in made.argv()) == (True, False)


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("docker") is None, reason="no Docker client on this machine")
def test_the_real_client_takes_every_argument(tmp_path: Path) -> None:
    """It reads its arguments before it looks for the engine, which is at an address where none is."""
    (tmp_path / "data, own").mkdir()
    image: Json = {"name": IMAGE, "docker_args": ["--memory", "2g"], "shm_size": "3g", "gpus": True}
    described: dict[str, Json] = {
        "run_id": "r",
        "command": "true",
        "inputs": {"data": {"path": str(tmp_path / "data, own")}},
        "limits": {"cpus": 1},
        "environment": {"image": image},
    }
    layout.create(tmp_path / "run", described)
    job = parse(described, tmp_path / "run")
    assert job.environment.image is not None
    made = docker.container(job.environment.image, IMAGE, tmp_path / "run", job, "mark")
    environ = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}

    def said(argv: list[str]) -> bytes:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, env=environ, capture_output=True, check=False)
        return done.stderr

    assert b"Cannot connect to the Docker daemon" in said(made.argv())
    wrong = [word.replace("--shm-size", "--no-such-option") for word in made.argv()]
    assert b"unknown flag: --no-such-option" in said(wrong)


@pytest.mark.processes
def test_a_client_without_an_engine_is_no_engine(tmp_path: Path) -> None:
    client = Engine(tmp_path).install() / "docker"
    assert docker.answers(str(client)) is False


@pytest.mark.processes
def test_a_client_with_an_engine_is_one(engine: Engine) -> None:
    assert docker.answers(str(engine.folder / "docker")) is True


def test_a_machine_without_docker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (tmp_path / "log").open("wb") as log, pytest.raises(EnvironmentRefused) as caught:
        docker.prepare(EnvironmentPlan(image=Image(IMAGE)), tmp_path / "cache", log, lambda: False)
    assert str(caught.value) == f"the environment is the image {IMAGE}, and this machine has no docker"


def test_the_status_of_a_run_in_a_container_is_read_back(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    layout.create(run_dir, {"run_id": "r", "command": "true"})
    built = statuses.BuiltEnvironment(f"docker:{IMAGE}", "python", cached=True, built_s=0.0)
    statuses.write(run_dir, statuses.Status("Completed", environment=built))
    assert reading.status(run_dir).environment == built


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun on this machine")
def test_an_mpi_job_runs_by_the_images_own_mpirun_in_one_container(runs: Runs, tmp_path: Path, engine: Engine) -> None:
    run_dir = runs.start(
        "echo $OMPI_COMM_WORLD_RANK of $WORLD_SIZE in $IMAGE",
        environment=plan(tmp_path),
        distribution={"kind": "mpi", "nodes": ["127.0.0.1"], "node_rank": 0, "processes": 2},
    )
    status = runs.end(run_dir)
    said = [(run_dir / name).read_text() for name in layout.logs(run_dir)]
    assert (status.state, status.reason) == ("Completed", None), said
    logs = [(run_dir / f"user_logs/std_log_process_{rank}.txt").read_text() for rank in range(2)]
    assert logs == [f"{rank} of 2 in {IMAGE}\n" for rank in range(2)]
    assert len(engine.runs()) == 1


@pytest.mark.processes
def test_an_image_that_was_built_here_is_removed_with_its_environment(tmp_path: Path, engine: Engine) -> None:
    cache = tmp_path / "cache"
    with (tmp_path / "log").open("wb") as log:
        ready = docker.prepare(EnvironmentPlan(conda=CONDA, image=Image(IMAGE)), cache, log, lambda: False)
    os.close(environments._in_use.pop())  # as if the process that used it had ended
    (kept,) = prune.listing(cache)
    assert (kept.kind, kept.image, ready.image in engine.images) == ("image", ready.image, True)
    assert prune.remove(kept) is not None
    assert (engine.images, prune.listing(cache)) == (set(), [])


@pytest.mark.processes
def test_an_image_stays_listed_while_no_engine_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Engine(tmp_path).install()))
    folder = layout.private_dir(tmp_path / "cache" / ("a" * 20))
    layout.write_json(folder / environments.READY, {"kind": "image", "image": "trainyard-environment:a"})
    (kept,) = prune.listing(tmp_path / "cache")
    with pytest.raises(
        EnvironmentRefused, match="can't be removed: the Docker engine does not answer, or it is in use"
    ):
        prune.remove(kept)
    assert prune.listing(tmp_path / "cache") == [kept]
