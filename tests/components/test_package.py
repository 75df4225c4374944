"""The component package under Pulumi's mocks: what it takes, what it refuses, what it makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import pulumi
import pytest
from pulumi.errors import InputPropertiesError, InputPropertyError
from pulumi.runtime import settings
from pydantic import BaseModel, TypeAdapter, ValidationError

from components.package import camel, fields, opened
from components.provider import COMPUTES, LEFT_OUT, Package, schema
from specs.base import ComputeName
from specs.identity import IdentitySpec
from specs.network import Network
from specs.workspace import WorkspaceSpec
from tests.components.compute_kit import PUBLIC_KEY, SECRET_SIGNATURE, SECRET_VALUE, Cloud

if TYPE_CHECKING:
    from collections.abc import Mapping

MODELS = {**COMPUTES, "Network": Network, "UserAssignedIdentity": IdentitySpec, "Workspace": WorkspaceSpec}
PLACE = {"resourceGroupName": "team", "location": "westeurope"}
IN_WORKSPACE = {**PLACE, "workspaceName": "research"}
COMPUTE = "azure-native:machinelearningservices:Compute"


def construct(kind: str, name: str, inputs: Mapping[str, pulumi.Input[object]]) -> Cloud:
    """Have the provider make one resource, as the engine would."""
    cloud = Cloud()
    settings.reset_options()
    pulumi.runtime.set_mocks(cloud, project="vision", stack="test", preview=False)

    @pulumi.runtime.test
    def declare() -> pulumi.Output[object]:
        made = Package().construct(name, f"trainyard:index:{kind}", inputs)
        return pulumi.Output.all(made.urn, made.state)

    declare()
    return cloud


def models_in(annotation: object) -> set[type[BaseModel]]:
    """List the models that an annotation names, at any depth."""
    inner, _ = opened(annotation)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return {inner}.union(*(models_in(below) for _, below, _ in fields(inner)))
    return set().union(*map(models_in, get_args(inner)))


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_every_field_of_a_stack_file_is_an_input_with_a_description(kind: str) -> None:
    inputs = schema("1")["resources"][f"trainyard:index:{kind}"]["inputProperties"]  # type: ignore[index]
    wanted = {camel(name) for name in MODELS[kind].model_fields} - {camel(name) for name in LEFT_OUT}
    compute = {"workspaceName", "workspacePublicNetworkAccess"} if kind in COMPUTES else set()
    assert set(inputs) == wanted | {"resourceGroupName", "location"} | compute
    assert [name for name, field in inputs.items() if not field["description"]] == []


def test_secrets_are_marked() -> None:
    whole = schema("1")
    places = [*whole["resources"].items(), *whole["types"].items()]  # type: ignore[attr-defined]
    assert sorted(
        f"{token.rpartition(':')[2]}.{name}"
        for token, shape in places
        for name, field in {**shape.get("inputProperties", {}), **shape["properties"]}.items()
        if field.get("secret")
    ) == [
        "AdministratorAccount.password",
        "AdministratorAccount.privateKey",
        "AdministratorAccount.privateKeyPassphrase",
        "UserAccountCredentials.adminUserPassword",
    ]


def test_no_two_types_share_a_name() -> None:
    kept = [below for model in MODELS.values() for name, below, _ in fields(model) if name not in LEFT_OUT]
    found = set().union(*map(models_in, kept))
    assert sorted(f"trainyard:index:{model.__name__}" for model in found) == sorted(schema("1")["types"])  # type: ignore[call-overload]


def test_what_the_provider_serves_is_that_schema() -> None:
    served = Package()
    assert json.loads(served.schema or "") == schema(served.version or "")


def test_a_cluster_takes_outputs_where_a_stack_file_has_names() -> None:
    subnet = pulumi.Output.from_input("/subscriptions/s/resourceGroups/g/providers/n/subnets/training")
    who = pulumi.Output.from_input("/subscriptions/s/resourceGroups/g/providers/i/who")
    inputs = {
        **IN_WORKSPACE,
        "vmSize": "Standard_D2_v2",
        "maxNodeCount": 4.0,  # numbers travel as floats
        "subnet": subnet,
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [who]},
        "tags": {"team_name": "vision"},
    }
    kind, given = construct("AmlCompute", "cpu-cluster", inputs).inputs["cpu-cluster"]
    assert kind == COMPUTE
    assert given == {
        "computeName": "cpu-cluster",
        "resourceGroupName": "team",
        "workspaceName": "research",
        "location": "westeurope",
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": ["/subscriptions/s/resourceGroups/g/providers/i/who"],
        },
        "properties": {
            "computeType": "AmlCompute",
            "disableLocalAuth": True,
            "properties": {
                "vmSize": "Standard_D2_v2",
                "vmPriority": "Dedicated",
                "osType": "Linux",
                "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT2M"},
                "subnet": {"id": "/subscriptions/s/resourceGroups/g/providers/n/subnets/training"},
                "enableNodePublicIp": False,
                "remoteLoginPortPublicAccess": "Disabled",
            },
        },
        "tags": {"team_name": "vision"},
    }


def test_a_machine_keeps_its_key_secret() -> None:
    account = {"username": "azureuser", "privateKey": "PEM"}
    inputs = {**IN_WORKSPACE, "address": "10.0.0.4", "hostKey": PUBLIC_KEY, "administratorAccount": account}
    _, given = construct("VirtualMachine", "gpu-box", inputs).inputs["gpu-box"]
    assert given["properties"] == {
        SECRET_SIGNATURE: SECRET_VALUE,
        "value": {
            "computeType": "VirtualMachine",
            "computeLocation": "westeurope",
            "disableLocalAuth": True,
            "properties": {
                "address": "10.0.0.4",
                "sshPort": 22,
                "administratorAccount": {"username": "azureuser", "privateKeyData": "PEM"},
            },
        },
    }


def test_an_instance_and_an_identity_are_made() -> None:
    instance = construct("ComputeInstance", "adas-box", {**IN_WORKSPACE, "vmSize": "Standard_DS3_v2"})
    assert [(name, kind) for name, (kind, _) in instance.inputs.items()] == [("adas-box", COMPUTE)]
    identity = construct("UserAssignedIdentity", "nodes", {**PLACE, "tags": {"a": "b"}})
    assert identity.inputs == {
        "nodes": (
            "azure-native:managedidentity:UserAssignedIdentity",
            {"resourceGroupName": "team", "resourceName": "nodes", "location": "westeurope", "tags": {"a": "b"}},
        )
    }


def test_a_network_is_made_with_its_subnets_and_the_rules_for_nodes() -> None:
    subnets = {"training": {"addressPrefix": "10.20.1.0/24"}, "own": {"addressPrefix": "10.20.2.0/24",
               "networkSecurityGroup": "none"}}  # fmt: skip
    made = construct("Network", "net", {**PLACE, "addressSpace": ["10.20.0.0/16"], "subnets": subnets}).inputs
    assert sorted((name, kind.rpartition(":")[2]) for name, (kind, _) in made.items()) == [
        ("net", "VirtualNetwork"),
        ("net-own", "Subnet"),
        ("net-training", "Subnet"),
        ("net-training-nsg", "NetworkSecurityGroup"),
    ]
    assert made["net-training"][1]["addressPrefix"] == "10.20.1.0/24"


@pytest.mark.parametrize(
    ("name", "change", "findings"),
    [
        ("cpu-cluster", {"vmSize": None}, [("vmSize", "is required")]),
        ("cpu-cluster", {"maxNodes": 3}, [("maxNodes", "no such input. Did you mean maxNodeCount?")]),
        (
            "cpu-cluster",
            {"minNodeCount": 9, "vmSize": "D2"},
            [("vmSize", "a VM size is written like Standard_D2_v2")],
        ),
        (
            "cpu-cluster",
            {"minNodeCount": 9},
            [("minNodeCount", "must not be above max_node_count (4). Allowed: 0 to 4.")],
        ),
        ("cpu-cluster", {"location": "West Europe"}, [(
            "location", "a region is written in lower case without spaces, for example westeurope",
        )]),
    ],
)  # fmt: skip
def test_bad_inputs_are_refused_each_by_its_name(
    name: str, change: dict[str, object], findings: list[tuple[str, str]]
) -> None:
    inputs = {**IN_WORKSPACE, "vmSize": "Standard_D2_v2", "maxNodeCount": 4, **change}
    with pytest.raises(InputPropertiesError) as refused:
        construct("AmlCompute", name, {key: value for key, value in inputs.items() if value is not None})
    assert [(item["property_path"], item["reason"]) for item in refused.value.errors or []] == findings


@pytest.mark.parametrize(
    ("name", "change", "path", "says"),
    [
        ("ab", {}, "name", "ab: a name here has 3 to 32 characters"),
        ("cpu-cluster", {"workspaceName": None}, "workspaceName", "is required, a text"),
        ("cpu-cluster", {"workspaceName": 3}, "workspaceName", "is a text"),
        ("cpu-cluster", {"subnet": "training"}, "subnet",
         "training must be an ARM id, or the output of a resource"),
    ],
)  # fmt: skip
def test_what_is_no_field_of_the_spec_is_refused_by_its_name(
    name: str, change: dict[str, object], path: str, says: str
) -> None:
    inputs = {**IN_WORKSPACE, "vmSize": "Standard_D2_v2", "maxNodeCount": 4, **change}
    with pytest.raises(InputPropertyError) as refused:
        construct("AmlCompute", name, {key: value for key, value in inputs.items() if value is not None})
    assert (refused.value.property_path, refused.value.reason) == (path, says)


def test_an_output_where_a_value_must_be_known_is_refused() -> None:
    inputs = {**IN_WORKSPACE, "vmSize": pulumi.Output.from_input("Standard_D2_v2"), "maxNodeCount": 4}
    with pytest.raises(InputPropertyError) as refused:
        construct("AmlCompute", "cpu-cluster", inputs)
    assert (refused.value.property_path, refused.value.reason) == (
        "vmSize", "must be written out here: the output of another resource is not known when the plan is checked",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["cpu_cluster", "a", "9lives"])
def test_a_name_that_azure_refuses_is_refused_in_the_words_of_stack_files(name: str) -> None:
    with pytest.raises(ValidationError) as rule:
        TypeAdapter(ComputeName).validate_python(name)
    with pytest.raises(InputPropertyError) as refused:
        construct("AmlCompute", name, {**IN_WORKSPACE, "vmSize": "Standard_D2_v2", "maxNodeCount": 4})
    assert (refused.value.property_path, refused.value.reason) == ("name", f"{name}: {rule.value.errors()[0]['msg']}")
