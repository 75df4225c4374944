"""A declared target is found; any other is answered with the lines that declare it, which are good ones."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from runtime import outputs, v1_declare
from runtime.errors import NotDeployedError, NotFoundError, SpecError, TargetError
from runtime.v1 import (
    AdlaCompute,
    AmlCompute,
    ComputeInstance,
    ComputeTarget,
    ComputeTargetException,
    DatabricksCompute,
    HDInsightCompute,
    RemoteCompute,
    UserErrorException,
    V1Note,
    Workspace,
)
from runtime.v1_words import V1Note as Note
from specs.checks import check_stack
from specs.loader import parse, validate
from specs.stack import StackSpec
from tests.runtime import kit
from tests.v1.kit import a_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.project import Project
    from runtime.site import Site

TODAY = date(2026, 11, 21)
STACK = "cloud: azure\nlocation: westeurope\nresource_group: rg\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGkV7yXMXJSxV4y3hWzCxJZ6dZCqXJq0eY8x2Z3b6Q1F"


@pytest.fixture
def ws(project: Project) -> Workspace:
    return a_workspace(project)


def answer(ws: Workspace, name: str, wanted: v1_declare.Declaration) -> str:
    with pytest.raises(ComputeTargetException) as caught:
        ComputeTarget.create(ws, name, wanted)
    return caught.value.message


def lines(text: str) -> str:
    """Return the YAML of an answer."""
    return text.partition("\n\n")[2].partition("\n\n")[0] + "\n"


def test_a_declared_target_is_found_by_its_name(ws: Workspace) -> None:
    found = ComputeTarget(workspace=ws, name="cpu-cluster")
    assert (found.name, found.type, found.id, found.vm_size) == ("cpu-cluster", "AmlCompute", kit.CPU, "Standard_D2_v2")
    assert list(ws.compute_targets) == ["cpu-cluster", "local"]
    here = ComputeTarget(ws, "local")
    assert (here.type, here.id, here.get_status(), here.provisioning_state) == ("Local", None, {}, "Succeeded")


def test_another_name_says_which_there_are_and_how_to_declare_it(ws: Workspace) -> None:
    with pytest.raises(ComputeTargetException) as caught:
        ComputeTarget(ws, "cpucluster")
    assert caught.value.message == (
        "no target cpucluster in stack local. Declared: cpu-cluster, local.\n"
        "  To declare it: ComputeTarget.create or attach say what to add to the stack's file."
    )
    assert isinstance(caught.value, UserErrorException)
    assert isinstance(caught.value, TargetError)


def test_a_cluster_is_answered_with_its_lines_in_the_stacks_words(ws: Workspace) -> None:
    wanted = AmlCompute.provisioning_configuration(
        vm_size="STANDARD_D2_V2",
        vm_priority="lowpriority",
        min_nodes=0,
        max_nodes=4,
        idle_seconds_before_scaledown="300",
        vnet_resourcegroup_name="net",
        vnet_name="v",
        subnet_name="s",
        tags={"a": "b"},
    )
    subnet = f"/subscriptions/{kit.RG.split('/')[2]}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v"
    assert answer(ws, "cpucluster", wanted) == (
        "cpucluster is not declared in stack local. Add it to stacks/local.yaml:\n\n"
        "workspaces:\n  research:\n    computes:\n      cpucluster:\n        kind: AmlCompute\n"
        "        vm_size: Standard_D2_v2\n        vm_priority: LowPriority\n        min_node_count: 0\n"
        "        max_node_count: 4\n        node_idle_time_before_scale_down: 300\n        tags:\n          a: b\n"
        f"        subnet: {subnet}/subnets/s\n\n  Then: invoke up --stack local"
    )


@pytest.mark.parametrize(
    "wanted",
    [
        AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2"),
        AmlCompute.provisioning_configuration(vm_size="Standard_DS3_v2", max_nodes=2, location="northeurope"),
        ComputeInstance.provisioning_configuration(vm_size="STANDARD_DS3_V2", description="mine"),
        RemoteCompute.attach_configuration(address="10.0.2.4", username="ada", password="hunter2 is mine"),
        RemoteCompute.attach_configuration(
            address="10.0.2.4", ssh_port="2222", username="ada", private_key_file="~/k", private_key_passphrase="p"
        ),
    ],
    ids=lambda wanted: f"{wanted.kind}-{len(wanted.fields)}",
)
def test_the_lines_make_a_good_stack_file(ws: Workspace, wanted: v1_declare.Declaration) -> None:
    text = answer(ws, "my-target", wanted)
    assert "hunter2" not in text
    spec = validate(parse(STACK + lines(text).replace(v1_declare.HOST_KEY, KEY), "stack.yaml"), StackSpec)
    assert [fault for fault in check_stack(spec, TODAY) if fault.severity == "error"] == []
    assert [(at[-1], compute.kind) for at, compute in spec.computes()] == [("my-target", wanted.kind)]


def test_secrets_are_named_and_kept_apart(ws: Workspace) -> None:
    with_key = RemoteCompute.attach_configuration(
        address="10.0.2.4", username="ada", private_key_file="~/.ssh/id", private_key_passphrase="hunter2"
    )
    said = answer(ws, "gpu-box", with_key)
    assert "  Keep the secret: invoke secret gpu-box-key --stack local < ~/.ssh/id\n" in said
    assert "  Keep the secret: invoke secret gpu-box-passphrase --stack local\n" in said
    assert "hunter2" not in said
    with pytest.raises(SpecError, match=r"private_key_file\n  is missing; a password does instead"):
        RemoteCompute.attach_configuration(address="10.0.2.4", username="ada")


@pytest.mark.parametrize(
    ("wanted", "kind", "line"),
    [
        (
            HDInsightCompute.attach_configuration(address="h", username="ada", private_key_file="k", ssh_port=22),
            "HDInsight",
            "private_key: later-key",
        ),
        (
            DatabricksCompute.attach_configuration(resource_group="g", workspace_name="w", access_token="dapi-secret"),
            "Databricks",
            "databricks_access_token: later-token",
        ),
        (
            AdlaCompute.attach_configuration(resource_group="g", account_name="a"),
            "DataLakeAnalytics",
            "/resourceGroups/g/providers/Microsoft.DataLakeAnalytics/accounts/a",
        ),
    ],
)
def test_a_kind_that_comes_later_says_so(ws: Workspace, wanted: v1_declare.Declaration, kind: str, line: str) -> None:
    said = answer(ws, "later", wanted)
    head = (
        f"later: the kind {kind} can't be declared yet (today: AmlCompute, ComputeInstance, VirtualMachine). It comes"
    )
    assert said.startswith(head)
    assert line in said
    assert "dapi-secret" not in said
    assert "invoke" not in said


def test_a_target_that_is_declared_otherwise_is_found_and_the_difference_said(ws: Workspace) -> None:
    wanted = AmlCompute.provisioning_configuration(vm_size="Standard_DS3_v2", max_nodes=2)
    with pytest.warns(Note, match="cpu-cluster: the stack's file says vm_size: Standard_D2_v2, and that holds"):
        found = ComputeTarget.create(ws, "cpu-cluster", wanted)
    assert found.id == kit.CPU
    with pytest.raises(ComputeTargetException, match="cpu-cluster is of kind AmlCompute in stack local, not Virtual"):
        ComputeTarget.attach(
            ws, "cpu-cluster", RemoteCompute.attach_configuration(address="a", username="u", password="p")
        )


def test_what_changes_a_target_names_the_change_in_the_file(ws: Workspace) -> None:
    found = ComputeTarget(ws, "cpu-cluster")
    with pytest.raises(ComputeTargetException) as caught:
        found.update(min_nodes=1, max_nodes=8)
    assert str(caught.value) == (
        "cpu-cluster is declared by the stack. In stacks/local.yaml change\ncpu-cluster:\n  min_node_count: 1\n"
        "  max_node_count: 8\n\n  Then: invoke up --stack local"
    )
    with pytest.raises(ComputeTargetException, match=r"take cpu-cluster out\n  Then: invoke up --stack local"):
        found.delete()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "vm_size\n  is missing"),
        ({"vm_size": "A", "max_node": 1}, "max_node\n  no such word here. Did you mean max_nodes?"),
        ({"vm_size": "A", "vm_priority": "cheap"}, 'vm_priority = "cheap"\n  Allowed: dedicated, lowpriority'),
        ({"vm_size": "A", "vnet_name": "v"}, "a subnet needs all three; missing: vnet_resourcegroup_name, subnet_name"),
    ],
)
def test_a_configuration_in_unknown_words_is_refused(given: dict[str, object], expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        AmlCompute.provisioning_configuration(**given)


def test_sizes_are_listed_from_the_catalogue() -> None:
    sizes = {str(size["name"]): size for size in AmlCompute.supported_vmsizes()}
    assert sizes["Standard_D2_v2"]["vCPUs"] == 2
    assert "Standard_NC6" not in sizes  # retired
    with pytest.warns(V1Note, match="invoke sizes --online"):
        AmlCompute.supported_vmsizes(location="westeurope")


def test_waiting_asks_until_the_service_has_settled(project: Project, site: Site, transport: kit.FakeTransport) -> None:
    states = ["Creating", "Creating", "Succeeded"]
    transport.replies["GET", kit.CPU] = [(200, {"properties": {"provisioningState": state}}) for state in states]
    ComputeTarget(a_workspace(project, site), "cpu-cluster").wait_for_completion()
    assert transport.asked == [("GET", kit.CPU)] * 3
    transport.replies["GET", kit.CPU] = [(200, {"properties": {"provisioningState": "Failed"}})]
    with pytest.raises(ComputeTargetException, match="cpu-cluster is Failed"):
        ComputeTarget(a_workspace(project, site), "cpu-cluster").wait_for_completion()
    transport.replies["GET", kit.CPU] = [(404, None)]
    with pytest.raises(ComputeTargetException, match=r"the workspace no longer has it. To make it again: invoke up"):
        ComputeTarget(a_workspace(project, site), "cpu-cluster").get_status()


def test_the_workspace_of_the_only_stack_is_found_from_any_folder_of_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    with pytest.raises(NotDeployedError, match="First: invoke up --stack local"):
        Workspace.from_config()
    outputs.save(project, kit.some_outputs())
    below = project.root / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = Workspace.from_config()
    assert (found.name, found.resource_group, found.location, found.id) == (
        "research",
        "trainyard-local",
        "westeurope",
        kit.WORKSPACE,
    )
    with pytest.raises(SpecError, match=r'workspace = "other"\n  no such workspace in stack local. Allowed: research'):
        Workspace.from_config(workspace="other")


def test_several_stacks_are_chosen_by_name_or_by_a_config_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    known = kit.some_outputs()
    outputs.save(project, known)
    other = known.workspaces["research"].model_copy(update={"id": kit.WORKSPACE.replace("trainyard-local", "dev")})
    outputs.save(project, known.model_copy(update={"stack": "dev", "workspaces": {"research": other}}))
    with pytest.raises(SpecError, match=r"several stacks are deployed here: dev, local. Say which: stack='dev'"):
        Workspace.from_config()
    assert Workspace.from_config(stack="local").resource_group == "trainyard-local"
    assert Workspace.get("research", resource_group="dev").outputs.stack == "dev"
    (project.root / ".azureml").mkdir()
    config = project.root / ".azureml" / "config.json"
    config.write_text('{"subscription_id": "", "resource_group": "dev", "workspace_name": "research"}')
    assert Workspace.from_config().outputs.stack == "dev"
    assert Workspace.from_config(config).outputs.stack == "dev"
    config.write_text('{"workspace_name": "nobody"}')
    with pytest.raises(SpecError, match=r"no deployed stack of this project has it. Deployed: research \(stack dev\)"):
        Workspace.from_config()


def test_a_folder_that_is_no_project_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match=r"no Pulumi.yaml in"):
        Workspace.from_config()
    with pytest.raises(SpecError, match="workspaces are declared: add"):
        Workspace.create("mine")
