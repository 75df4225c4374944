"""An engine and a control plane made of dictionaries, for the tests of recovery."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.goals import resources_of
from engine.importing import merged
from engine.lookup import Cloud
from engine.plan import SIGNATURE, SIGNED_SECRET, Json, Plan, mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.session import Session

SUB = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUB}/resourceGroups/rg"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PROVIDER = "urn:pulumi:s::p::pulumi:providers:azure-native::default_3_29_0::some-id"
ROOT = "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"
SEALED: Json = {SIGNATURE: SIGNED_SECRET, "ciphertext": "v1:abc:def"}
NOW = "2026-11-21T10:00:00Z"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:s::p::{type_}::{name}"


def goal(
    type_: str, name: str, inputs: Mapping[str, Json] | None = None, uses: Mapping[str, str] | None = None,
    parent: str = ROOT,
) -> dict[str, Json]:  # fmt: skip
    """Make one entry of a saved plan; `uses` names for an input the one resource that it is made of."""
    uses = uses or {}
    return {
        "goal": {
            "type": type_, "name": name, "custom": not type_.startswith("trainyard:"), "parent": parent,
            "provider": PROVIDER, "inputDiff": {"adds": dict(inputs or {})}, "dependencies": [*uses.values()],
            "propertyDependencies": {key: [uses[key]] if key in uses else [] for key in inputs or {}},
        }
    }  # fmt: skip


NATIVE = "azure-native:"
RG, VNET = f"{NATIVE}resources:ResourceGroup", f"{NATIVE}network:VirtualNetwork"
VAULT, ROLE = f"{NATIVE}keyvault:Vault", f"{NATIVE}authorization:RoleAssignment"
SPACE, COMPUTE = f"{NATIVE}machinelearningservices:Workspace", f"{NATIVE}machinelearningservices:Compute"
RG_URN, VAULT_URN, SPACE_URN = urn(RG, "rg"), urn(VAULT, "ws-vault"), urn(SPACE, "ws")
PART_URN, COMPUTE_URN = urn("trainyard:index:AmlCompute", "cpu"), urn(f"trainyard:index:AmlCompute${COMPUTE}", "cpu")
ROLE_URN = urn(ROLE, "reads")
ROLE_ID = f"/subscriptions/{SUB}/providers/Microsoft.Authorization/roleDefinitions/{SUB[:-1]}9"


def whole_plan() -> dict[str, Json]:
    """Plan a group, a vault with a random name, a workspace, a cluster with a password, a role assignment."""
    in_group = {"resourceGroupName": RG_URN}
    return {
        RG_URN: goal(RG, "rg", {"resourceGroupName": "rg", "location": "westeurope", "tags": {"owner": "us"}}),
        VAULT_URN: goal(
            VAULT,
            "ws-vault",
            {"resourceGroupName": UNKNOWN, "vaultName": "ws-vault99999999", "__createBeforeDelete": True},
            in_group,
        ),
        SPACE_URN: goal(
            SPACE,
            "ws",
            {"resourceGroupName": UNKNOWN, "workspaceName": "ws", "keyVault": UNKNOWN},
            {**in_group, "keyVault": VAULT_URN},
        ),
        PART_URN: goal("trainyard:index:AmlCompute", "cpu"),
        COMPUTE_URN: goal(
            COMPUTE,
            "cpu",
            {
                "resourceGroupName": UNKNOWN,
                "workspaceName": UNKNOWN,
                "computeName": "cpu",
                "properties": {"vmSize": "D2", "password": SEALED},
            },
            {**in_group, "workspaceName": SPACE_URN},
            PART_URN,
        ),
        ROLE_URN: goal(
            ROLE,
            "reads",
            {
                "scope": UNKNOWN,
                "principalId": "p1",
                "roleDefinitionId": ROLE_ID,
                "roleAssignmentName": "any",
                "__createBeforeDelete": True,
            },
            {"scope": SPACE_URN},
        ),
    }


def document(id_: str, at: str = NOW, **properties: Json) -> dict[str, Json]:
    """Make what ARM answers for a resource."""
    return {
        "id": id_,
        "name": id_.rpartition("/")[2],
        "properties": {"provisioningState": "Succeeded", **properties},
        "systemData": {"createdAt": at},
    }


IDS = {
    RG_URN: GROUP,
    VAULT_URN: f"{GROUP}/providers/Microsoft.KeyVault/vaults/ws-vault01234567",
    SPACE_URN: f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws",
    COMPUTE_URN: f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws/computes/cpu",
    ROLE_URN: f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws"
    f"/providers/Microsoft.Authorization/roleAssignments/{SUB}",
}


@dataclass
class Arm:
    """A control plane: documents by id. One that is `Deleting` is gone at the second look."""

    documents: dict[str, dict[str, Json]] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)

    def put(self, id_: str, at: str = NOW, **properties: Json) -> None:
        self.documents[id_.lower()] = document(id_, at, **properties)

    def find(self, id_: str, api: str) -> Mapping[str, Json] | None:
        assert api
        return self.documents.get(id_.lower())

    def list(self, collection: str, api: str) -> Sequence[Mapping[str, Json]]:
        assert api
        start = f"{collection.lower()}/"
        return [found for id_, found in self.documents.items() if id_.rpartition("/")[0] == start[:-1]]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for id_, found in [*self.documents.items()]:
            state = text(mapping(found["properties"]).get("provisioningState"))
            if state == "Deleting":
                del self.documents[id_]
            elif state == "Creating":
                self.put(id_)

    def cloud(self) -> Cloud:
        return Cloud(SUB, self.find, self.list, self.sleep)


@dataclass
class Engine:
    """What recovery asks of the engine; the provider reads what `arm` has."""

    arm: Arm
    plan: dict[str, Json]
    state: dict[str, Json]
    history: list[Json] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def export(self, _session: Session) -> dict[str, Json]:
        copied: dict[str, Json] = json.loads(json.dumps(self.state))
        return copied

    def ask(self, _session: Session, arguments: Sequence[str], stdin: str | None = None) -> str:
        if arguments[:2] == ["stack", "history"]:
            return json.dumps(self.history)
        assert arguments == ["stack", "import"]
        self.ran.append("write")
        self.state = json.loads(stdin or "")
        return ""

    def operate(self, _session: Session, arguments: Sequence[str], _on_event: None) -> Plan:
        self.ran.append(arguments[0])
        if arguments[0] == "preview":
            Path(arguments[1].removeprefix("--save-plan=")).write_text(json.dumps({"resourcePlans": self.plan}))
        elif arguments[0] == "import":
            self.imported(json.loads(Path(arguments[-1].removeprefix("--file=")).read_text()))
        return Plan(())

    def imported(self, file: Mapping[str, Json]) -> None:
        resources = [*resources_of(self.state)]
        entries = file["resources"]
        assert isinstance(entries, list)
        for entry in entries:
            found = mapping(entry)
            known = next(
                key for key, value in self.plan.items()
                if mapping(mapping(value)["goal"])["name"] == found["logicalName"]
                and mapping(mapping(value)["goal"])["type"] == found["type"]
            )  # fmt: skip
            resources.append(entry_of(known, self.plan, text(found.get("id")), read={"sku": "default", "vmSize": "D2"}))
        self.state = {"deployment": {**mapping(self.state["deployment"]), "resources": [dict(r) for r in resources]}}


def entry_of(known: str, plan: Mapping[str, Json], id_: str, read: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """Make a resource of the state: as `up` writes it, or as an import does, with what was read."""
    wanted = mapping(mapping(plan[known])["goal"])
    entry: dict[str, Json] = {"urn": known, "type": wanted["type"], "custom": wanted["custom"], "parent": ROOT}
    if not id_:
        return entry
    entry |= {"id": id_, "provider": PROVIDER, "outputs": {"name": id_.rpartition("/")[2]}}
    given = dict(mapping(mapping(wanted["inputDiff"])["adds"]))
    if read is None:
        uses = wanted["propertyDependencies"]
        return entry | {"inputs": given, "dependencies": wanted["dependencies"], "propertyDependencies": uses}
    name = id_.rpartition("/")[2]
    shown = {key: value for key, value in given.items() if key not in ("properties", "__createBeforeDelete")}
    shown |= {key: name for key in shown if key in ("vaultName", "roleAssignmentName")}
    shown |= {key: "read" for key, value in shown.items() if value == UNKNOWN}
    if "properties" in given:
        shown["properties"] = {"vmSize": "D2", "isolatedNetwork": False}
    assert merged(UNKNOWN, "read") == "read"
    return entry | {"inputs": {**shown, "sku": "default"}}


def state_of(*entries: Mapping[str, Json], pending: Sequence[Json] = ()) -> dict[str, Json]:
    """Make an exported state below the stack itself."""
    root: dict[str, Json] = {"urn": ROOT, "type": "pulumi:pulumi:Stack", "custom": False}
    deployment: dict[str, Json] = {"resources": [root, *(dict(entry) for entry in entries)]}
    if pending:
        deployment["pending_operations"] = [*pending]
    return {"version": 3, "deployment": deployment}
