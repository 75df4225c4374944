"""docs/from-v1.md: every Python block of Azure's pages for v1 has its counterpart, and each counterpart runs."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from runtime import blobs, outputs
from runtime.records import STATES
from runtime.v1 import CondaDependencies, Experiment, ScriptRunConfig, V1Note, Workspace
from specs.stack import LOCAL
from specs.targets import VirtualMachineTarget
from tests.runtime import kit
from tests.v1.kit import ECHO

if TYPE_CHECKING:
    from runtime.project import Project

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-v1.md").read_text("utf-8")
KNOWN: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "blocks.json").read_text())
"""The Python blocks of Azure's pages, in order: first line, number of lines, hash of the text without indentation."""
TARGETS, SUBMIT, TRAIN, STUDIO = list(KNOWN)
MACHINE = VirtualMachineTarget(
    name="my-vm-name",
    id=f"{kit.WORKSPACE}/computes/my-vm-name",
    workspace="research",
    address="127.0.0.1",
    ssh_port=22,
    username="ada",
    host_key=None,
    resource_id=None,
    made_here=False,
)
READ = ECHO + (
    "arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
    "folder = pathlib.Path(arguments['--data-folder'])\n"
    "pathlib.Path('outputs/my_output_file').write_text(arguments['--regularization'] + ' ' + "
    "(folder / 'data.csv').read_text())\n"
)


class Pair(NamedTuple):
    """A block of v1's, ours, and what ours prints where the page shows it."""

    v1: str
    here: str
    answer: str | None


def sections() -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    for title, body in re.findall(r"^## (.+?) \(\d{4}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE):
        found[title] = [
            Pair(v1, here, answer or None)
            for v1, here, answer in re.findall(
                r"```python v1\n(.*?)```\nhere:\n```python here\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", body, re.DOTALL
            )
        ]
    return found


def test_every_block_of_each_page_has_its_counterpart() -> None:
    shown = {
        title: [hashlib.sha256(pair.v1.rstrip("\n").encode()).hexdigest() for pair in pairs]
        for title, pairs in sections().items()
    }
    assert shown == {title: [block["sha256"] for block in blocks] for title, blocks in KNOWN.items()}
    assert {title: len(blocks) for title, blocks in KNOWN.items()} == {TARGETS: 12, SUBMIT: 7, TRAIN: 4, STUDIO: 1}


@pytest.fixture
def names(line: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Make the names that the pages take for granted; a stack with a machine too."""
    known = kit.some_outputs()
    outputs.save(line, known.model_copy(update={"targets": {**known.targets, MACHINE.name: MACHINE}}))
    monkeypatch.chdir(line.root)
    for folder, script in (("src", ECHO), ("my-sklearn-proj", READ), ("my-cntk-proj", ECHO)):
        (line.root / folder).mkdir()
        (line.root / folder / "train.py").write_text(script)
    return {
        "ws": Workspace.from_config(),
        "script_folder": "src",
        "project_folder": "src",
        "compute_target_name": "my-vm-name",
        "compute_target": "cpu-cluster",
        "my_compute_target": LOCAL,
        "src": ScriptRunConfig("src", "train.py"),
    }


def run(title: str, names: dict[str, Any], capsys: pytest.CaptureFixture[str], before: dict[int, Any]) -> list[str]:
    """Run the counterparts of a page in order; return what each printed. `before`: stand-ins, by block number."""
    printed = []
    for number, pair in enumerate(sections()[title], 1):
        before.get(number, lambda _: None)(names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", V1Note)
            exec(compile(pair.here, f"{title} {number}", "exec"), names)  # noqa: S102 - our own page
        printed.append(capsys.readouterr().out)
        if pair.answer is not None:
            assert printed[-1] == pair.answer
    return printed


def without_packages(names: dict[str, Any]) -> None:
    """Install nothing: these tests reach no package index."""
    names["run_config_system_managed"].environment.python.conda_dependencies = CondaDependencies()


@pytest.mark.processes
def test_the_counterparts_of_the_page_on_targets_run(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(TARGETS, names, capsys, {11: without_packages})
    assert [number for number, text in enumerate(printed, 1) if text] == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert names["run"].status == "Completed"
    assert names["ws"].site.store.get(names["run"].id).target == LOCAL
    (one_off,) = [found for found in names["ws"].site.store.all() if found.experiment == "one-off"]
    assert one_off.target.startswith("run-one-off-")


@pytest.mark.processes
def test_a_cluster_that_was_added_is_found_by_the_same_lines(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ws = names["ws"]
    added = ws.outputs.targets["cpu-cluster"].model_copy(update={"name": "cpucluster"})
    names["ws"] = Workspace(
        ws.project, ws.outputs.model_copy(update={"targets": {"cpucluster": added}}), "research", ws.site
    )
    exec(compile(sections()[TARGETS][3].here, "basic", "exec"), names)  # noqa: S102 - our own page
    assert capsys.readouterr().out == "Found existing cluster, use it.\ncpucluster: Succeeded\n"


@pytest.mark.processes
def test_the_counterparts_of_the_page_on_submitting_run(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(SUBMIT, names, capsys, {})
    ended = names["run"].wait_for_completion()
    assert (ended.status, ended.target) == ("Completed", LOCAL)
    assert names["run"].run.record.fidelity == "user-managed"


@pytest.mark.processes
def test_the_counterparts_of_the_page_on_estimators_run(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str], line: Project
) -> None:
    ws = names["ws"]
    names["experiment"] = Experiment(ws, "estimators")
    place = blobs.datastore(ws.plane, ws.id, "workspaceblobstore")
    blobs.upload(ws.plane, place, [blobs.Source("data.csv", lambda: iter([b"1,2"]))])

    def no_packages(names: dict[str, Any]) -> None:
        names["sk_est"].conda_packages = None

    def no_image(names: dict[str, Any]) -> None:
        names["estimator"].pip_packages = None
        names["estimator"].custom_docker_image = None

    printed = run(TRAIN, names, capsys, {2: no_packages, 4: no_image})
    assert printed[1].strip() in STATES
    assert (line.root / "my_destination_path").read_text() == "0.8 1,2"
    names["run"].cancel()


@pytest.mark.processes
def test_the_counterpart_of_the_page_on_the_studio_runs(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(STUDIO, names, capsys, {})
    assert (names["myvm"].name, names["myvm"].type) == ("my-vm-name", "VirtualMachine")
