"""The shipped local stack with the real engine: one story, told in order."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from console import adoption, changing, deploying, plans
from engine.errors import EngineError
from runtime import outputs
from runtime.errors import HeldBackError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.plan import Plan
    from tests.engine.conftest import Site

pytestmark = pytest.mark.engine

CANARY = "c4n4ry-Pa55word-7f3e"
GROUP = "/resourceGroups/trainyard-local/providers/Microsoft.MachineLearningServices/workspaces/research"


def changes(plan: Plan) -> list[tuple[str, str, list[str]]]:
    return sorted((item.name, item.op, [part.path for part in item.properties]) for item in plans.real(plan))


def canary_places(root: Path) -> list[str]:
    """List files below a folder that hold the canary in clear, whatever their kind."""
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and CANARY.encode() in path.read_bytes()
    ]


def test_1_up_makes_what_the_file_declares(site: Site) -> None:
    plan = site.yard.up("local", [])
    assert {name for name, op, _ in changes(plan) if op == "create"} == {
        "cpu-cluster", "research", "research-insights", "research-logs", "research-storage", "research-vault",
        "spot-cluster", "trainyard-local", "trainyard-local-vnet", "trainyard-local-vnet-training",
        "trainyard-local-vnet-training-nsg", "training",
    }  # fmt: skip
    assert len(changes(plan)) == 12
    found = outputs.load(site.yard.project, "local")
    assert found.names() == ["cpu-cluster", "spot-cluster", "local"]
    assert found.targets["cpu-cluster"].id.endswith(f"{GROUP}/computes/cpu-cluster")


def test_2_a_second_up_changes_nothing_and_refresh_finds_nothing(site: Site) -> None:
    assert changes(site.yard.up("local", [])) == []
    assert changes(site.yard.refresh("local", preview_only=False)) == []


def test_3_plain_pulumi_sees_the_same(site: Site) -> None:
    done = site.pulumi("preview", "-s", "local", "--non-interactive", "--color=never")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^ +(.*\d+ .*)$", done.stdout.partition("Resources:")[2], re.MULTILINE) == ["19 unchanged"]
    assert "warning" not in done.stdout.lower() + done.stderr.lower()


def test_4_scale_settings_change_in_place(site: Site) -> None:
    site.edit("cpu-cluster", max_node_count=8, node_idle_time_before_scale_down=300)
    expected = [(
        "cpu-cluster", "update",
        ["properties.properties.scaleSettings.maxNodeCount",
         "properties.properties.scaleSettings.nodeIdleTimeBeforeScaleDown"],
    )]  # fmt: skip
    assert changes(site.yard.preview("local")) == expected
    assert changes(site.yard.up("local", [])) == expected
    compute = site.arm(f"{GROUP}/computes/cpu-cluster?api-version=2025-12-01")
    settings = compute["properties"]["properties"]["scaleSettings"]  # type: ignore[index]
    assert settings == {"minNodeCount": 0, "maxNodeCount": 8, "nodeIdleTimeBeforeScaleDown": "PT5M"}


def test_5_another_size_is_a_replacement_and_needs_a_word(site: Site) -> None:
    site.edit("spot-cluster", vm_size="Standard_D3_v2")
    plan = site.yard.preview("local")
    assert changes(plan) == [("spot-cluster", "replace", ["properties.properties.vmSize"])]
    assert plans.lines(plan) == [
        "  ± spot-cluster  Compute                REPLACES it",
        "      vm_size Standard_D2_v2 → Standard_D3_v2   forces the replacement",
        "  1 change: 1 to replace",
    ]
    with pytest.raises(HeldBackError, match="would replace spot-cluster") as refused:
        site.yard.up("local", [])
    assert "invoke up --stack local --allow-replace spot-cluster" in str(refused.value)
    done = site.pulumi("preview", "-s", "local", "--json", "--non-interactive")
    assert {step["op"] for step in json.loads(done.stdout)["steps"]} >= {"replace"}
    assert [item[:2] for item in changes(site.yard.up("local", ["spot-cluster"]))] == [("spot-cluster", "replace")]


def test_5_what_would_be_deleted_needs_a_word_too(site: Site) -> None:
    path = site.root / "stacks/local.yaml"
    before = path.read_text()
    document = yaml.safe_load(before)
    del document["workspaces"]["research"]["computes"]["spot-cluster"]
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(HeldBackError, match=r"this would delete spot-cluster\. Nothing was done\.") as refused:
        site.yard.up("local", [])
    assert str(refused.value).endswith("to accept it: invoke up --stack local --allow-delete spot-cluster")
    with pytest.raises(HeldBackError, match="gpu would not be lost; this plan loses spot-cluster"):
        site.yard.up("local", ["gpu"])
    path.write_text(before)
    assert changes(site.yard.preview("local")) == []


def test_6_a_change_outside_is_found_and_put_back(site: Site) -> None:
    site.edit("cpu-cluster", max_node_count=4, node_idle_time_before_scale_down=15)
    site.yard.up("local", [])
    outside = {"properties": {"properties": {"scaleSettings": {"minNodeCount": 0, "maxNodeCount": 6}}}}
    site.arm(f"{GROUP}/computes/cpu-cluster?api-version=2025-12-01", "PATCH", outside)
    found = changes(site.yard.refresh("local", preview_only=True))
    assert [item[:2] for item in found] == [("cpu-cluster", "update")]
    assert "properties.properties.scaleSettings.maxNodeCount" in found[0][2]
    site.yard.refresh("local", preview_only=False)
    assert [item[:2] for item in changes(site.yard.up("local", []))] == [("cpu-cluster", "update")]
    compute = site.arm(f"{GROUP}/computes/cpu-cluster?api-version=2025-12-01")
    assert compute["properties"]["properties"]["scaleSettings"]["maxNodeCount"] == 4  # type: ignore[index]


def test_6_the_same_by_one_command_each(site: Site) -> None:
    outside = {"properties": {"properties": {"scaleSettings": {"minNodeCount": 1, "maxNodeCount": 6}}}}
    path = site.root / "stacks/local.yaml"
    before = path.read_text()
    site.arm(f"{GROUP}/computes/cpu-cluster?api-version=2025-12-01", "PATCH", outside)
    (found,) = changing.adopt(site.yard, "local")
    assert [(item.field, item.value) for item in found.moved] == [("min_node_count", 1), ("max_node_count", 6)]
    assert changes(site.yard.preview("local")) == []
    path.write_text(before)
    with pytest.raises(HeldBackError) as refused:
        changing.revert(site.yard, "local", [])
    assert str(refused.value) == (
        "stacks/local.yaml has changes of its own, which would go along: cpu-cluster. Nothing was done.\n"
        "  first: invoke up --stack local"
    )
    site.yard.up("local", [])
    site.arm(f"{GROUP}/computes/cpu-cluster?api-version=2025-12-01", "PATCH", outside)
    _, done = changing.revert(site.yard, "local", [])
    assert done is not None
    assert changing.revert(site.yard, "local", []) == ([], None)
    assert [item[:2] for item in changes(done)] == [("cpu-cluster", "update")]


def test_6_what_exists_is_refused_until_it_is_adopted(site: Site) -> None:
    body = {"location": "westeurope", "properties": {"computeType": "AmlCompute", "disableLocalAuth": True,
        "properties": {
        "vmSize": "Standard_D2_v2", "vmPriority": "Dedicated", "osType": "Linux", "enableNodePublicIp": True,
        "remoteLoginPortPublicAccess": "Disabled",
        "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 3, "nodeIdleTimeBeforeScaleDown": "PT2M"}}}}  # fmt: skip
    site.put(f"{GROUP}/computes/old-cluster?api-version=2025-12-01", body)
    path = site.root / "stacks/local.yaml"
    before = path.read_text()
    declared = "      old-cluster: {kind: AmlCompute, vm_size: Standard_D3_v2, max_node_count: 5}\n"
    path.write_text(before.replace("    computes:\n", f"    computes:\n{declared}"))
    with pytest.raises(EngineError, match="cannot create already existing resource") as refused:
        site.yard.up("local", [])
    assert "invoke adopt NAME --stack local" in refused.value.hint
    with pytest.raises(HeldBackError) as held:
        adoption.adopt(site.yard, "local", "old-cluster", write=False)
    assert str(held.value) == (
        "old-cluster exists, and stacks/local.yaml would replace it. Nothing was done.\n"
        "      vm_size is Standard_D2_v2, the file says Standard_D3_v2\n"
        "  To take over what it has: invoke adopt old-cluster --stack local --write"
    )
    done = adoption.adopt(site.yard, "local", "old-cluster", write=True)
    assert done.wrote[:2] == (
        "workspaces.research.computes.old-cluster.vm_size", "workspaces.research.computes.old-cluster.max_node_count",
    )  # fmt: skip
    assert changes(site.yard.preview("local")) == []
    with pytest.raises(HeldBackError, match="old-cluster belongs to stack local already"):
        adoption.adopt(site.yard, "local", "old-cluster", write=False)
    path.write_text(before)
    site.yard.up("local", ["old-cluster"])


def test_7_a_secret_is_nowhere_in_clear(site: Site) -> None:
    from engine import operations

    session, _ = site.yard.session("local")
    operations.set_secret(session, "cluster-password", CANARY)
    account = {"admin_user_name": "azureuser", "admin_user_password": "cluster-password"}
    site.edit("cpu-cluster", user_account_credentials=account, disable_local_auth=False)
    preview = site.yard.preview("local")
    assert CANARY not in json.dumps(plans.as_json(preview))
    site.yard.up("local", ["cpu-cluster"])
    site.yard.refresh("local", preview_only=False)
    assert changes(site.yard.preview("local")) == []
    shown = [
        site.pulumi(*words).stdout
        for words in (
            ("stack", "export", "-s", "local"),
            ("stack", "output", "--json", "-s", "local"),
            ("preview", "--diff", "-s", "local"),
        )
    ]
    assert [CANARY in text for text in shown] == [False, False, False]
    # The service itself must know it: the emulator's database does, readable by its owner only.
    assert canary_places(site.root) == [".trainyard/emulator/state.db"]
    for path in (site.root / ".trainyard/emulator").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_8_the_wrong_cloud_is_refused_both_ways(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = site.yard.variables("local")
    for name in list(variables):
        if name not in os.environ:
            monkeypatch.setenv(name, variables[name])
    monkeypatch.setenv("PATH", os.environ["PATH"])
    with pytest.raises(HeldBackError, match="stack prod says cloud: azure, but this shell points at the emulator"):
        site.yard.up("prod", [])
    site.pulumi("stack", "init", "prod", "--non-interactive")
    done = site.pulumi("up", "-s", "prod", "--yes", "--non-interactive", "--color=never")
    assert done.returncode != 0
    assert "stack prod says cloud: azure, but this shell points at the emulator" in done.stdout + done.stderr
    blank = {name: "" for name in variables if name.startswith(("ARM_", "AZURE_", "PULUMI_DEBUG"))}
    done = site.pulumi("up", "-s", "local", "--yes", "--non-interactive", "--color=never", **blank)
    assert done.returncode != 0
    assert (
        "stack local says cloud: emulator, but this shell does not point at the emulator" in done.stdout + done.stderr
    )
    assert "Traceback" not in done.stdout + done.stderr


def test_9_destroy_leaves_nothing(site: Site) -> None:
    from engine import operations

    site.yard.destroy("local", purge=False)
    assert site.arm("/resourceGroups?api-version=2024-03-01")["value"] == []
    assert site.arm("/resources?api-version=2024-03-01")["value"] == []
    session, _ = site.yard.session("local")
    deployment = operations.export(session)["deployment"]
    kinds = [item["type"] for item in deployment.get("resources") or []]  # type: ignore[union-attr]
    assert [kind for kind in kinds if not kind.startswith("pulumi:")] == []


def test_10_a_destroyed_stack_comes_up_again_even_after_plain_pulumi_destroy(site: Site) -> None:
    assert len(changes(site.yard.up("local", []))) == 12
    done = site.pulumi("destroy", "-s", "local", "--yes", "--non-interactive", "--color=never")
    assert done.returncode == 0, done.stdout + done.stderr
    assert deploying.lines(site.yard, "local", site.yard.preview("local"))[-1] == (
        "  research was deleted before; Azure may keep the name until 14 days after. Take it back in the portal "
        "(Recently deleted), or delete it for good: invoke purge --stack local"
    )
    with pytest.raises(EngineError, match="Soft-deleted workspace exists") as refused:
        site.yard.up("local", [])
    assert refused.value.hint == (
        "To take the old one back: the portal, Recently deleted; then: invoke adopt NAME --stack local. "
        "To delete it for good: invoke purge --stack local. Then: invoke up --stack local"
    )
    assert site.yard.purge("local") == ["research"]
    site.yard.up("local", [])
    assert site.yard.purge("local") == []
    site.yard.destroy("local", purge=False)
