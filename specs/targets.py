"""What a stack answers for each compute kind: the targets of jobs, without all that may be declared of them.

Apart from `specs.compute`, because a submission needs these models and none of the declarations.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

LOCAL = "local"
"""The target that always exists: this machine."""
ComputeKind: TypeAlias = Literal["AmlCompute", "ComputeInstance", "VirtualMachine"]
KINDS: tuple[ComputeKind, ...] = get_args(ComputeKind)


class _Target(BaseModel):
    """What `runtime` needs of a target; made from specs and ids only, never from a resource's own properties."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class _WorkspaceTarget(_Target):
    id: str
    """ARM id."""
    workspace: str
    """Key of its workspace in the stack."""
    fixed: dict[str, str] = {}
    """What can't be changed in place, by field, as text: so that a check without network sees a replacement."""


class AmlComputeTarget(_WorkspaceTarget):
    """A deployed cluster."""

    kind: Literal["AmlCompute"] = "AmlCompute"
    vm_size: str
    vm_priority: Literal["Dedicated", "LowPriority"]
    min_node_count: int
    max_node_count: int


class ComputeInstanceTarget(_WorkspaceTarget):
    """A deployed instance."""

    kind: Literal["ComputeInstance"] = "ComputeInstance"
    vm_size: str


class VirtualMachineTarget(_WorkspaceTarget):
    """An attached machine, and how to know it again."""

    kind: Literal["VirtualMachine"] = "VirtualMachine"
    address: str
    """Name or IP address; of a machine that the stack made, the one that it got."""
    ssh_port: int
    username: str
    host_key: str | None
    """The pinned public key, one OpenSSH line; None: not pinned yet, so nothing connects to it."""
    resource_id: str | None
    """ARM id, where it is a machine in Azure."""
    made_here: bool
    """Whether this stack made the machine; else it was attached as it is, and is never deleted."""


class LocalTarget(_Target):
    """The machine itself; every stack has it, even one that was never brought up."""

    kind: Literal["Local"] = "Local"
    interpreter: str | None = None
    environments_folder: str | None = None
    cpus: int | None = None
    memory_gib: float | None = None


DeployedTarget: TypeAlias = Annotated[
    AmlComputeTarget | ComputeInstanceTarget | VirtualMachineTarget, Field(discriminator="kind")
]
Target: TypeAlias = DeployedTarget | LocalTarget
