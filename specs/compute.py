"""The one list of compute kinds: what may be declared, and what a stack answers for each.

Layers are joined by these unions (`match … assert_never`): a kind added here makes every layer's type check fail
until it has its case.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from specs.aml_compute import AmlComputeSpec

ComputeSpec: TypeAlias = AmlComputeSpec


class _Target(BaseModel):
    """What `runtime` needs of a target; made from specs and ids only, never from a resource's own properties."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class AmlComputeTarget(_Target):
    """A deployed cluster."""

    kind: Literal["AmlCompute"] = "AmlCompute"
    id: str
    """ARM id."""
    workspace: str
    """Key of its workspace in the stack."""
    vm_size: str
    vm_priority: Literal["Dedicated", "LowPriority"]
    min_node_count: int
    max_node_count: int


class LocalTarget(_Target):
    """The machine itself; every stack has it, even one that was never brought up."""

    kind: Literal["Local"] = "Local"


DeployedTarget: TypeAlias = AmlComputeTarget
Target: TypeAlias = AmlComputeTarget | LocalTarget
