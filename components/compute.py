"""From a declared compute to its component, and from what became of it to its target: the cases of this layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from components import aml_compute, compute_instance, virtual_machine
from components.base import Declared
from specs.aml_compute import AmlComputeSpec
from specs.compute_instance import ComputeInstanceSpec
from specs.virtual_machine import VirtualMachineSpec

if TYPE_CHECKING:
    import pulumi

    from components.base import ComputeDependencies, Place
    from specs.compute import ComputeSpec
    from specs.targets import DeployedTarget


class Made(Protocol):
    """A compute's component."""

    @property
    def id(self) -> pulumi.Output[str]:
        """ARM id."""
        ...

    @property
    def urn(self) -> pulumi.Output[str]:
        """The engine's own name of it."""
        ...


def component(
    name: str, spec: ComputeSpec, place: Place, dependencies: ComputeDependencies, opts: pulumi.ResourceOptions | None
) -> Made:
    """Make the component of a compute of any kind."""
    match spec:
        case AmlComputeSpec():
            return aml_compute.AmlCompute(name, spec, place, dependencies, opts)
        case ComputeInstanceSpec():
            return compute_instance.ComputeInstance(name, spec, place, dependencies, opts)
        case VirtualMachineSpec():
            return virtual_machine.VirtualMachine(name, spec, place, dependencies, opts)
        case _:
            assert_never(spec)


def declare(
    name: str, spec: ComputeSpec, place: Place, dependencies: ComputeDependencies, opts: pulumi.ResourceOptions
) -> Declared:
    """Declare a compute of any kind."""
    made = component(name, spec, place, dependencies, opts)
    return made.declared if isinstance(made, virtual_machine.VirtualMachine) else Declared(made.id)


def target(name: str, workspace: str, spec: ComputeSpec, id_: str, address: str | None = None) -> DeployedTarget:
    """Describe a deployed compute of any kind for `runtime`; `address`: of a machine that the stack made."""
    match spec:
        case AmlComputeSpec():
            return aml_compute.target(name, workspace, spec, id_)
        case ComputeInstanceSpec():
            return compute_instance.target(name, workspace, spec, id_)
        case VirtualMachineSpec():
            return virtual_machine.target(name, workspace, spec, id_, address)
        case _:
            assert_never(spec)
