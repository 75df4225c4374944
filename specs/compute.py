"""The one list of compute kinds that may be declared; what a stack answers for each is in `specs.targets`.

Layers are joined by these unions (`match … assert_never`): a kind added here makes every layer's type check fail
until it has its case.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from specs.aml_compute import AmlComputeSpec
from specs.compute_instance import ComputeInstanceSpec
from specs.virtual_machine import VirtualMachineSpec

ComputeSpec: TypeAlias = Annotated[
    AmlComputeSpec | ComputeInstanceSpec | VirtualMachineSpec, Field(discriminator="kind")
]
OnNodes: TypeAlias = AmlComputeSpec | ComputeInstanceSpec
"""Kinds whose nodes the service makes: they may have a subnet and an identity."""
NAME_LENGTHS = {"AmlCompute": (3, 32), "ComputeInstance": (3, 24), "VirtualMachine": (2, 16)}
"""Shortest and longest name of each kind (azure-docs how-to-create-attach-compute-studio, resource-name-rules; attached
ones as in how-to-set-up-training-targets)."""
