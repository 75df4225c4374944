"""One module per kind of target, each with the functions of `runtime.site.Submitter`; `of` is the one choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from runtime.records import Kind
    from runtime.site import Submitter


def of(kind: Kind) -> Submitter:
    """Return the submitter of a kind of target."""
    from runtime.submitters import aml_compute, local

    match kind:
        case "AmlCompute" | "ComputeInstance":
            return aml_compute
        case "Local":
            return local
        case "VirtualMachine":
            from runtime.submitters import virtual_machine  # with all of SSH, which others don't wait for

            return virtual_machine
        case _:
            assert_never(kind)
