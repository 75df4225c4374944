"""The main example as a user meets it: trained under the node supervisor, put behind an endpoint, asked."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node import launch, layout, reading
from runtime import deploy, environments, services, snapshot
from runtime.errors import RefusedError
from runtime.project import Project, cache_folder
from specs.job import load_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.status import Status

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
UNSEEN = json.loads((DIGITS / "unseen.json").read_text())


def finished(run_dir: Path, within_s: float = 280) -> Status:
    deadline = time.monotonic() + within_s
    while not (status := reading.status(run_dir)).terminal:
        assert time.monotonic() < deadline, "the run does not end"
        time.sleep(0.1)
    return status


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the example's job to its end."""
    job, document = load_job(DIGITS / "job.yml")
    plan = environments.resolve(job.environment, DIGITS, document)
    assert job.code is not None
    run_dir = layout.private_dir(tmp_path_factory.mktemp("runs") / "digits")
    snapshot.copy(snapshot.plan(DIGITS / job.code), layout.workdir(run_dir))
    layout.create(
        run_dir,
        {
            "run_id": "digits",
            "command": job.command,
            "code": layout.CODE,
            "inputs": {name: {"value": str(value)} for name, value in job.inputs.items()},
            "environment_variables": dict(job.environment_variables),
            "environment": {
                "python": plan.python,
                "pip": list(plan.pip),
                "cache": str(cache_folder() / "environments"),
            },
        },
    )
    launch.start(run_dir)
    finished(run_dir)
    return run_dir


def a_project(folder: Path) -> Iterator[Project]:
    made = Project(folder)
    yield made
    for service in services.list_services(made):
        services.delete(made, service.endpoint)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from a_project(tmp_path / "project")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    yield from a_project(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def served(trained: Path, shared: Project) -> services.Service:
    """Deploy the model once, for the tests that only ask."""
    return deploy.deploy(DIGITS / "deployment.yml", shared, wishes(trained))


def wishes(trained: Path) -> deploy.Wishes:
    def fetch(_: str, folder: Path) -> deploy.Fetched:
        shutil.copytree(layout.outputs_dir(trained) / "model", folder / "model")
        return deploy.Fetched("digits:1")

    return deploy.Wishes(fetch=fetch)


def right(service: services.Service) -> int:
    answer = deploy.score(service, {"data": UNSEEN["data"]}).value
    assert isinstance(answer, dict)
    return sum(found == label for found, label in zip(answer["digits"], UNSEEN["labels"], strict=True))


def test_it_learns_and_logs_as_it_goes(trained: Path) -> None:
    status, metrics = reading.status(trained), reading.metrics(trained)
    log = (trained / layout.USER_LOG).read_text()
    assert (status.state, status.exit_code) == ("Completed", 0), log
    assert reading.last_metrics(trained)["accuracy"] >= 0.95
    assert [metric.step for metric in metrics if metric.key == "accuracy"] == list(range(1, 41))
    assert [line.split("  ")[0] for line in log.splitlines() if line.startswith("epoch")] == [
        f"epoch {number}" for number in range(5, 41, 5)
    ]
    assert reading.params(trained) == {"epochs": "40", "hidden": "256", "learning_rate": "0.002", "seed": "7"}
    assert sorted(path.name for path in layout.outputs_dir(trained).rglob("*") if path.is_file()) == [
        "digits.npz", "metrics.json",
    ]  # fmt: skip


def test_the_unseen_images_are_the_last_of_the_data_set(trained: Path) -> None:
    environment = reading.status(trained).environment
    assert environment is not None
    code = (
        "import json, sys; from sklearn.datasets import load_digits; x, y = load_digits(return_X_y=True);"
        "json.dump({'data': x[-20:].astype(int).tolist(), 'labels': y[-20:].tolist()}, sys.stdout)"
    )
    done = subprocess.run([environment.interpreter, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == UNSEEN


def test_the_endpoint_reads_images_that_training_never_saw(served: services.Service) -> None:
    assert served.state == "Running"
    assert right(served) >= 17


def test_it_listens_on_loopback_only_and_refuses_web_pages(served: services.Service) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    assert {line.split()[1].split(":")[0] for line in listening if line.split()[1].endswith(f":{served.port:04X}")} == {
        "0100007F"
    }
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
        connection.request("GET", "/", headers=headers)
        assert connection.getresponse().status == 403
        connection.close()


def test_a_bad_request_shows_the_scripts_own_words(served: services.Service) -> None:
    with pytest.raises(RefusedError, match="KeyError: 'data'"):
        deploy.score(served, {"pixels": []})


def test_a_deployment_that_fails_leaves_the_one_before_answering(
    trained: Path, project: Project, tmp_path: Path
) -> None:
    before = deploy.deploy(DIGITS / "deployment.yml", project, wishes(trained))
    shutil.copytree(DIGITS, tmp_path / "broken")
    (tmp_path / "broken/score/score.py").write_text(
        "def init():\n    raise OSError('no such model')\ndef run(x): ...\n"
    )
    with pytest.raises(RefusedError, match="no such model"):
        deploy.deploy(tmp_path / "broken" / "deployment.yml", project, wishes(trained))
    assert right(services.find(project, "digits")) >= 17
    assert [service.run_dir for service in services.list_services(project)] == [before.run_dir]


def test_a_new_deployment_takes_over_on_the_same_port_and_ends_the_old_one(trained: Path, project: Project) -> None:
    before = deploy.deploy(DIGITS / "deployment.yml", project, wishes(trained))
    after = deploy.deploy(DIGITS / "deployment.yml", project, wishes(trained))
    assert (after.port, after.run_dir == before.run_dir) == (before.port, False)
    assert right(after) >= 17
    assert reading.status(before.run_dir).state == "Canceled"


def test_a_killed_service_says_so_and_a_new_deployment_heals_it(trained: Path, project: Project) -> None:
    service = deploy.deploy(DIGITS / "deployment.yml", project, wishes(trained))
    supervisor = reading.status(service.run_dir).supervisor
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (found := services.find(project, "digits")).state == "Running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (found.state, found.reason) == ("Failed", "the supervisor died while the run was Running (it was killed)")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", service.port)) != 0
    assert right(deploy.deploy(DIGITS / "deployment.yml", project, wishes(trained))) >= 17


def test_a_deleted_endpoint_leaves_nothing(trained: Path, project: Project) -> None:
    service = deploy.deploy(DIGITS / "deployment.yml", project, wishes(trained))
    services.delete(project, "digits")
    assert services.list_services(project) == []
    assert list((project.data / "services").iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", service.port)) != 0
