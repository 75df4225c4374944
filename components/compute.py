"""From a declared compute to its component: the one `match` of this layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from components import aml_compute
from specs.aml_compute import AmlComputeSpec

if TYPE_CHECKING:
    import pulumi

    from components.aml_compute import ComputeDependencies
    from components.base import Place
    from specs.compute import ComputeSpec, DeployedTarget


def declare(
    name: str, spec: ComputeSpec, place: Place, dependencies: ComputeDependencies, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Declare a compute of any kind; returns its ARM id."""
    match spec:
        case AmlComputeSpec():
            return aml_compute.AmlCompute(name, spec, place, dependencies, opts).id
        case _:
            assert_never(spec)


def target(name: str, workspace: str, spec: ComputeSpec, id_: str) -> DeployedTarget:
    """Describe a deployed compute of any kind for `runtime`."""
    match spec:
        case AmlComputeSpec():
            return aml_compute.target(name, workspace, spec, id_)
        case _:
            assert_never(spec)
