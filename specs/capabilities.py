"""What can be done on each kind of target: the tables of Azure's documents, derived from the types. Pure.

Training: how-to-set-up-training-targets, "Supported compute targets" (GPU acceleration, hyperparameter tuning,
automated ML, pipelines). An instance has no row there: how-to-create-manage-compute-instance, concept-compute-target.
Inference: concept-compute-target, "Compute targets for inference": web services on the local machine and on instances,
batch on clusters; testing on clusters as the first page says of managed compute.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from specs.targets import ComputeKind

if TYPE_CHECKING:
    from specs.targets import Target

Support: TypeAlias = Literal["yes", "no", "maybe", "beyond", "pipeline only"]
"""`maybe`: the machine decides. `beyond`: here, though the documents say no. `pipeline only`: as a step, not alone."""
Kind: TypeAlias = ComputeKind | Literal["Local"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One row of the table."""

    gpu: Support
    """GPU acceleration."""
    train: Support
    """Training runs."""
    sweep: Support
    """Automated hyperparameter tuning."""
    automl: Support
    """Automated machine learning."""
    pipeline: Support
    """As the place of a pipeline's step."""
    test: Support
    """Inference: trying a model out."""
    realtime: Support
    """Inference: a web service."""
    batch: Support
    """Inference: scoring batches of data."""

    def items(self) -> list[tuple[str, Support]]:
        """List every capability by name, in the order of the table."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def of(target: Target) -> Capabilities:
    """Return what can be done on a target."""
    return capabilities(target.kind)


def capabilities(kind: Kind) -> Capabilities:
    """Return what can be done on a kind of target."""
    match kind:
        case "AmlCompute":
            return Capabilities(
                gpu="yes", train="yes", sweep="yes", automl="yes", pipeline="yes",
                test="yes", realtime="no", batch="yes",
            )  # fmt: skip
        case "ComputeInstance":
            return Capabilities(
                gpu="yes", train="yes", sweep="no", automl="yes", pipeline="yes",
                test="yes", realtime="yes", batch="no",
            )  # fmt: skip
        case "VirtualMachine":
            return Capabilities(
                gpu="yes", train="yes", sweep="yes", automl="yes", pipeline="yes",
                test="no", realtime="no", batch="no",
            )  # fmt: skip
        case "Local":
            return Capabilities(
                gpu="maybe", train="yes", sweep="beyond", automl="yes", pipeline="beyond",
                test="yes", realtime="yes", batch="no",
            )  # fmt: skip
        case _:
            assert_never(kind)
