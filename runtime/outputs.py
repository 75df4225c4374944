"""A stack's outputs as `runtime` sees them: the cached copy that `up` leaves, or read back from a workspace.

The cache is a convenience, never the truth about a run; `of_workspace` makes the same document for a clone that knows
a workspace only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from pydantic import ValidationError

from runtime import wire
from runtime.errors import NotDeployedError, NotFoundError, StoreError
from runtime.project import private_folder
from specs.base import EMULATOR_SUBSCRIPTION_ID
from specs.outputs import StackOutputs, WorkspaceOutput
from specs.targets import KINDS, LOCAL, AmlComputeTarget, ComputeInstanceTarget, DeployedTarget, VirtualMachineTarget

if TYPE_CHECKING:
    from runtime.control_plane import ControlPlane
    from runtime.project import Project
    from runtime.wire import Json, Object

API = "2025-12-01"
"""Microsoft.MachineLearningServices: Workspaces_Get, Compute_List."""
SSH = 22


def load(project: Project, stack: str) -> StackOutputs:
    """Return the outputs of a stack. Raises `NotDeployedError` when there are none, `StoreError` if damaged."""
    path = project.outputs_file(stack)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotDeployedError(stack) from None
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error.strerror}") from None
    try:
        return StackOutputs.model_validate_json(raw)
    except ValidationError as error:
        what = f"{error.error_count()} fields don't fit version 1"
        raise StoreError(f"{path} is damaged ({what}). To write it anew: invoke up --stack {stack}") from None


def save(project: Project, outputs: StackOutputs) -> None:
    """Keep the outputs of a stack for the next command; whole or not at all."""
    from node import layout

    path = project.outputs_file(outputs.stack)
    private_folder(project.data)
    private_folder(path.parent)
    try:
        layout.write_bytes(path, outputs.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from None


def forget(project: Project, stack: str) -> None:
    """Drop the cached outputs of a stack, after `destroy`. Safe to repeat."""
    project.outputs_file(stack).unlink(missing_ok=True)


def stacks(project: Project) -> list[str]:
    """List the stacks whose outputs are here."""
    return sorted(path.stem for path in project.outputs_file("x").parent.glob("*.json"))


def of_workspace(workspace_id: str, plane: ControlPlane) -> StackOutputs:
    """Read the same over a control plane that is at hand."""
    document = plane.find(workspace_id, API)
    if document is None:
        raise NotFoundError(f"there is no workspace {workspace_id}")
    parts = workspace_id.strip("/").split("/")
    name = wire.text(document.get("name")) or parts[-1]
    targets = [found for item in plane.list(f"{workspace_id}/computes", API) if (found := _target(item, name))]
    properties = wire.obj(document.get("properties"))
    return StackOutputs(
        stack=name,
        cloud="emulator" if parts[1] == EMULATOR_SUBSCRIPTION_ID else "azure",
        subscription_id=parts[1],
        tenant_id=wire.text(properties.get("tenantId")),
        resource_group=parts[3],
        location=wire.text(document.get("location")),
        workspaces={
            name: WorkspaceOutput(
                id=workspace_id,
                name=name,
                location=wire.text(document.get("location")),
                storage_account=wire.text(properties.get("storageAccount")),
            )
        },
        targets={target.name: target for target in targets},
        default_target=LOCAL,
    )


def _target(item: Object, workspace: str) -> DeployedTarget | None:
    """Read a compute; None for a kind that this project does not know."""
    properties = wire.obj(item.get("properties"))
    settings = wire.obj(properties.get("properties"))
    name, id_ = wire.text(item.get("name")), wire.text(item.get("id"))
    kind = next((known for known in KINDS if known == properties.get("computeType")), None)
    match kind:
        case "AmlCompute":
            scale = wire.obj(settings.get("scaleSettings"))
            return AmlComputeTarget(
                name=name,
                id=id_,
                workspace=workspace,
                vm_size=wire.text(settings.get("vmSize")),
                vm_priority="LowPriority" if settings.get("vmPriority") == "LowPriority" else "Dedicated",
                min_node_count=_count(scale.get("minNodeCount")),
                max_node_count=_count(scale.get("maxNodeCount")),
            )
        case "ComputeInstance":
            return ComputeInstanceTarget(
                name=name, id=id_, workspace=workspace, vm_size=wire.text(settings.get("vmSize"))
            )
        case "VirtualMachine":
            port = settings.get("sshPort")
            return VirtualMachineTarget(
                name=name,
                id=id_,
                workspace=workspace,
                address=wire.text(settings.get("address")),
                ssh_port=port if isinstance(port, int) else SSH,
                username=wire.text(wire.at(settings, "administratorAccount", "username")),
                host_key=None,  # the workspace has no field for it
                resource_id=wire.text(properties.get("resourceId")) or None,
                made_here=False,
            )
        case None:
            return None
        case _:
            assert_never(kind)


def _count(value: Json) -> int:
    return value if isinstance(value, int) else 0
