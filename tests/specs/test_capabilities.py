from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from specs.capabilities import capabilities

if TYPE_CHECKING:
    from specs.capabilities import Kind

NAMES = ["gpu", "train", "sweep", "automl", "pipeline", "test", "realtime", "batch"]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        # how-to-set-up-training-targets, "Supported compute targets", read across; then the three of inference.
        ("Local", ["maybe", "yes", "beyond", "yes", "beyond", "yes", "yes", "no"]),
        ("AmlCompute", ["yes", "yes", "yes", "yes", "yes", "yes", "no", "yes"]),
        ("ComputeInstance", ["yes", "yes", "no", "yes", "yes", "yes", "yes", "no"]),
        ("VirtualMachine", ["yes", "yes", "yes", "yes", "yes", "no", "no", "no"]),
    ],
)
def test_a_kind_can_do_what_the_documents_say_and_where_more_a_third_mark_says_so(kind: Kind, row: list[str]) -> None:
    assert capabilities(kind).items() == list(zip(NAMES, row, strict=True))
