"""The list of the URNs of every shipped stack, and of the two stacks that use every option.

A name that changes here is a resource that is deleted and made anew at the user's next `up`: give it an alias, and a
line in the changelog. To write the list anew: TRAINYARD_WRITE_URNS=1 with this test.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from specs.checks import load_stack
from specs.outputs import StackOutputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.components.conftest import Rendered

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).parent / "urns.txt"
STACKS = {
    "local": ROOT / "stacks/local.yaml",
    "prod": ROOT / "stacks/prod.yaml",
    "platform": ROOT / "tests/stacks/platform.yaml",
    "tenant": ROOT / "tests/stacks/tenant.yaml",
}
PASSPHRASE = "a passphrase"


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    return {"machine-key": key.decode(), "machine-passphrase": PASSPHRASE}


def kept() -> dict[str, list[str]]:
    blocks = (block.splitlines() for block in LIST.read_text("utf-8").split("\n\n"))
    return {name.removeprefix("# "): urns for name, *urns in blocks}


def test_no_shipped_stack_changes_the_name_of_a_resource(
    render: Callable[..., Rendered], secrets: dict[str, str]
) -> None:
    documents: dict[str, object] = {}
    found = {}
    for name, path in STACKS.items():
        rendered = render(load_stack(path), documents, secrets)
        documents[f"organization/trainyard/{name}"] = rendered.document
        found[name] = sorted(rendered.recorder.urns)
        assert not rendered.document_is_secret
        # Of the vendor's aliases, some 50 a resource, none is left anywhere: they cost most of a preview.
        assert {item.aliases for item in rendered.recorder.options.values()} <= {
            (),
            ("research-training-storage",),
            ("research-spare-storage",),
        }
        assert StackOutputs.model_validate(rendered.document).model_dump(mode="json") == rendered.document
    if "TRAINYARD_WRITE_URNS" in os.environ:
        LIST.write_text("\n\n".join("\n".join([f"# {name}", *urns]) for name, urns in found.items()) + "\n", "utf-8")
    assert found == kept()
