"""Job files in the style of Azure's published samples, unchanged, on every target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.jobs.line import TARGETS

if TYPE_CHECKING:
    from runtime.runs import Run
    from tests.jobs.line import Line

SAMPLES = Path(__file__).parent / "samples"
STD, HELLO = "std_log.txt", "hello world\n"
IRIS = "flowers {'setosa': 3, 'versicolor': 1, 'virginica': 1}\n"
SUMS = [f"epoch {epoch}: rank {rank} of 4: sum {10 * (epoch + 1)}" for rank in range(4) for epoch in range(2)]


def said(line: Line, run: Run) -> object:
    """Return what is compared of a run's logs: of one process its text, of several each one's."""
    found = line.logs(run)
    return found[STD] if list(found) == [STD] else found


EXPECTED: dict[str, object] = {
    "hello-world": HELLO,
    "hello-world-env-var": HELLO,
    "hello-world-org": HELLO,
    "hello-world-input": "hello world\n42\n",
    "hello-iris-literal": "flowers {'setosa': 1, 'versicolor': 1, 'virginica': 1}\n",
    "hello-iris-folder": f"iris.csv\n{IRIS}",
    "hello-iris-optional": "the iris's \"best\" {'setosa': 2, 'versicolor': 1, 'virginica': 1}\n",
}
FILES = {
    "hello-world-output": {"outputs/helloworld.txt": HELLO.encode()},
    "hello-world-output-data": {"named-outputs/hello_output/helloworld.txt": HELLO.encode()},
    "hello-world-output-bare": {"named-outputs/hello_output/helloworld.txt": HELLO.encode()},
}
OTHERS = {
    "hello-code", "hello-mlflow", "hello-iris-file", "distributed-pytorch", "distributed-tensorflow", "distributed-mpi",
}  # fmt: skip


def test_every_sample_has_something_to_show() -> None:
    names = {path.stem for path in SAMPLES.glob("*.yml")} - {"environment"}
    assert names == {*EXPECTED, *FILES, *OTHERS}


@pytest.mark.parametrize("target", TARGETS)
def test_published_samples_run_unchanged(line: Line, target: str) -> None:
    line.needs(target)
    runs = {name: line.submit(SAMPLES / f"{name}.yml", target) for name in (*EXPECTED, *FILES, *OTHERS)}
    ended = {name: line.ended(run) for name, run in runs.items()}
    assert {name: (run.state, run.record.reason) for name, run in ended.items()} == dict.fromkeys(
        ended, ("Completed", None)
    )
    assert {name: said(line, ended[name]) for name in EXPECTED} == EXPECTED
    assert {name: line.files(ended[name]) for name in FILES} == FILES
    first, rest = str(said(line, ended["hello-iris-file"])).split("\n", 1)
    assert (first.startswith("--iris-csv: /"), first.endswith("iris.csv"), rest) == (True, True, IRIS)
    if target in {"cpu-cluster", "notebook"}:
        image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
        assert ended["hello-iris-file"].record.environment == f"{image} + environment.yml"
    assert {"hello-iris.py", "allreduce.py", "data"} <= set(line.logs(ended["hello-code"])[STD].split())
    mlflow = ended["hello-mlflow"]
    assert (list(mlflow.metrics), mlflow.record.params) == (["hello_metric"], {"hello_param": "world"})
    assert 0 <= mlflow.metrics["hello_metric"] < 1
    assert sorted(logged(line, ended["distributed-pytorch"])) == sorted(SUMS)
    assert sorted(logged(line, ended["distributed-tensorflow"])) == ["2 worker 0", "2 worker 1"]
    assert sorted(logged(line, ended["distributed-mpi"])) == [f"rank {rank} of 4" for rank in range(4)]


def logged(line: Line, run: Run) -> list[str]:
    """Return the lines of every process of a run."""
    return [text for name, log in line.logs(run).items() if "mpirun" not in name for text in log.splitlines()]
