"""No secret goes to the engine unmarked: the vendor's SDK marks none, so the components must."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from google.protobuf import json_format

from components.keys import unlocked
from specs.checks import load_stack
from tests.components.conftest import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pulumi.runtime.proto import resource_pb2

    from tests.components.conftest import Rendered

PLATFORM = Path(__file__).parents[1] / "stacks/platform.yaml"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
PASSPHRASE = "correct horse"
WORDS = ("password", "passphrase", "privatekey", "accesskey", "secret", "token", "connectionstring", "sharedkey")
"""Of which a field's name that takes a secret has one."""


def leaves(value: object, path: str = "", *, marked: bool = False) -> Iterator[tuple[str, object, bool]]:
    """List what is given: where, what, and whether it is marked secret."""
    if isinstance(value, dict) and value.get(SIGNATURE) == SECRET:
        yield from leaves(value["value"], path, marked=True)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}".strip("."), marked=marked)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, f"{path}[]", marked=marked)
    else:
        yield path, value, marked


@pytest.fixture(scope="module")
def key() -> str:
    made = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    return made.decode()


@pytest.fixture
def given(
    render: Callable[..., Rendered], key: str, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, str, object, bool]]:
    """Render every option of every kind: type and name, path, value, whether it is marked.

    As the engine gets them: the mocks that other tests read spread a mark over everything beside the secret.
    """
    found: list[tuple[str, str, object, bool]] = []
    register = Monitor.RegisterResource

    def listen(self: Monitor, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        where = f"{request.type.rpartition(':')[2]} {request.name}"
        found.extend((where, *leaf) for leaf in leaves(json_format.MessageToDict(request.object)))
        return register(self, request)

    monkeypatch.setattr(Monitor, "RegisterResource", listen)
    render(load_stack(PLATFORM), secrets={"machine-key": key, "machine-passphrase": PASSPHRASE})
    return found


def test_every_secret_of_a_stack_with_every_option_is_marked(
    given: list[tuple[str, str, object, bool]], key: str
) -> None:
    account = "properties.properties.administratorAccount"
    assert sorted((where, path, value) for where, path, value, marked in given if marked) == [
        (
            "Compute cpu-cluster",
            "properties.properties.userAccountCredentials.adminUserPassword",
            "secret:cluster-password",
        ),
        ("Compute gpu-box", f"{account}.privateKeyData", unlocked(key, PASSPHRASE)),
        ("Compute old-box", f"{account}.password", "secret:machine-password"),
    ]


def test_no_secret_and_no_part_of_one_is_anywhere_else(given: list[tuple[str, str, object, bool]], key: str) -> None:
    lines = {line for line in (*key.splitlines(), *unlocked(key, PASSPHRASE).splitlines()) if "-----" not in line}
    canaries = ("secret:", PASSPHRASE, *lines)
    open_ = [(where, path, str(value)) for where, path, value, marked in given if not marked]
    assert [found for found in open_ if any(canary in found[2] for canary in canaries)] == []


def test_no_field_that_is_called_a_secret_is_given_unmarked(given: list[tuple[str, str, object, bool]]) -> None:
    named = {path for _, path, _, marked in given if not marked and any(word in path.lower() for word in WORDS)}
    # Each of these says whether there are such secrets, and is none.
    assert named == {"allowSharedKeyAccess", "osProfile.linuxConfiguration.disablePasswordAuthentication"}
