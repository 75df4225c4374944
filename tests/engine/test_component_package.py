"""The component package from a program in Pulumi YAML, with the real engine and the real YAML host: one story."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from console import plans
from emulator import launch
from engine import obtain, operations, yaml_host
from engine.errors import EngineError
from engine.session import Session
from tests.engine.conftest import ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.plan import Plan

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),  # the first time on a machine the host is built
    pytest.mark.skipif(
        shutil.which("go") is None and yaml_host.find() is None,
        reason="no pulumi-language-yaml on this machine, and no Go to build it with",
    ),
]
PACKAGE = Path(sys.executable).with_name("pulumi-resource-trainyard")
MADE = [
    "cpu-cluster", "research", "research-insights", "research-logs", "research-storage", "research-vault", "team",
    "yaml-net", "yaml-net-training", "yaml-net-training-nsg", "yaml-nodes",
]  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A folder with the example's one file, a stack of it, and the emulator behind it."""

    session: Session

    def write(self, resource: str, **fields: object) -> None:
        """Change inputs of a resource of the example; None takes one out."""
        document = yaml.safe_load((ROOT / "examples/yaml-program/Pulumi.yaml").read_text())
        properties = document["resources"][resource]["properties"]
        document["resources"][resource]["properties"] = {
            name: value for name, value in {**properties, **fields}.items() if value is not None
        }
        (self.session.root / "Pulumi.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    engine = obtain.find()
    assert engine is not None, "no Pulumi engine: invoke setup"
    assert PACKAGE.exists(), "the project is not installed here: make setup"
    root = tmp_path_factory.mktemp("yaml")
    (root / "stacks").mkdir()
    shutil.copy(ROOT / "examples/yaml-program/Pulumi.yaml", root)
    cloud = launch.ensure(root / ".trainyard/emulator").environment()
    host = yaml_host.find_or_get(lambda _text: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(host), os.environ["PATH"]]))
        yield Program(Session(root, "dev", engine, cloud))
    launch.stop(root / ".trainyard/emulator")


def changed(plan: Plan) -> list[tuple[str, str]]:
    return sorted((item.name, item.op) for item in plans.real(plan))


def test_1_the_schema_has_these_resources_and_types(program: Program) -> None:
    program.session.prepare()
    answer = subprocess.run(
        ["pulumi", "package", "get-schema", PACKAGE],
        env=program.session.environment(), text=True, capture_output=True, check=True, cwd=program.session.root,
    )  # fmt: skip
    schema = json.loads(answer.stdout)
    golden = (Path(__file__).parent / "samples/package-tokens.txt").read_text().split()
    assert [*sorted(schema["resources"]), *sorted(schema["types"])] == golden


def test_2_preview_and_up_make_what_the_program_declares(program: Program) -> None:
    expected = [(name, "create") for name in MADE]
    assert changed(operations.preview(program.session)) == expected
    assert changed(operations.up(program.session)) == expected
    cluster = operations.outputs(program.session)["cluster"]
    assert str(cluster).endswith("/resourceGroups/yaml-team/providers/Microsoft.MachineLearningServices"
                                 "/workspaces/research/computes/cpu-cluster")  # fmt: skip


def test_3_what_the_emulator_has_is_what_the_program_says(program: Program) -> None:
    group = "/resourceGroups/yaml-team/providers/Microsoft.MachineLearningServices/workspaces/research"
    compute = Site(program.session.root).arm(f"{group}/computes/cpu-cluster?api-version=2025-12-01")
    properties = compute["properties"]["properties"]  # type: ignore[index]
    assert {name: properties[name] for name in ("vmSize", "scaleSettings", "enableNodePublicIp")} == {
        "vmSize": "Standard_D2_v2",
        "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT5M"},
        "enableNodePublicIp": True,
    }
    assert properties["subnet"]["id"].endswith("/virtualNetworks/yaml-net/subnets/training")
    (identity,) = compute["identity"]["userAssignedIdentities"]  # type: ignore[index]
    assert identity.rpartition("/")[2] == "yaml-nodes"


def test_4_a_second_up_changes_nothing_and_refresh_finds_nothing(program: Program) -> None:
    assert changed(operations.up(program.session)) == []
    assert changed(operations.refresh(program.session)) == []


def test_5_a_fixed_input_replaces_and_a_scale_setting_does_not(program: Program) -> None:
    program.write("cpu-cluster", maxNodeCount=4)
    assert changed(operations.preview(program.session)) == [("cpu-cluster", "update")]
    program.write("cpu-cluster", vmSize="Standard_D3_v2")
    assert changed(operations.preview(program.session)) == [("cpu-cluster", "replace")]
    program.write("cpu-cluster")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"minNodeCount": 3},
            "property minNodeCount with value '{3}' has a problem: "
            "must not be above max_node_count (2). Allowed: 0 to 2.",
        ),
        (
            {"subnet": "training"},
            "property subnet with value '{training}' has a problem: "
            "training must be an ARM id, or the output of a resource",
        ),
        (
            {"description": "${team.id}"},
            "has a problem: must be written out here: "
            "the output of another resource is not known when the plan is checked",
        ),
        (
            {"userAccountCredentials": {"adminUserName": "Root!", "adminUserPassword": {"fn::secret": "x"}},
             "disableLocalAuth": False},
            "property userAccountCredentials.adminUserName with value '{Root!}' has a problem: "
            "a Linux user's name has 1 to 32 lower-case letters, digits, _ and -, and starts with a letter or _",
        ),
    ],
)  # fmt: skip
def test_6_a_bad_input_is_refused_by_its_name(program: Program, fields: dict[str, object], says: str) -> None:
    program.write("cpu-cluster", **fields)
    with pytest.raises(EngineError) as refused:
        operations.preview(program.session)
    program.write("cpu-cluster")
    assert refused.value.message.rpartition("\n")[2].strip().removeprefix("- ").endswith(says)


def test_7_a_password_is_nowhere_in_clear(program: Program) -> None:
    word = "c4n4ry-Pa55word-9b1d"
    (program.session.root / "word").write_text(word)
    account = {"adminUserName": "azureuser", "adminUserPassword": {"fn::secret": {"fn::readFile": "./word"}}}
    program.write("cpu-cluster", userAccountCredentials=account, disableLocalAuth=False)
    assert changed(operations.up(program.session)) == [("cpu-cluster", "replace")]
    places = [
        str(path.relative_to(program.session.root))
        for path in sorted(program.session.root.rglob("*"))
        if path.is_file() and not path.is_symlink() and word.encode() in path.read_bytes()
    ]
    assert places == [".trainyard/emulator/state.db", "word"]


def test_8_destroy_leaves_nothing(program: Program) -> None:
    operations.destroy(program.session)
    assert Site(program.session.root).arm("/resources?api-version=2024-03-01")["value"] == []
