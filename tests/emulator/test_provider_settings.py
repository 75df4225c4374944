"""Where settings come from, and the interlock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator.constants import SUBSCRIPTION_ID
from emulator.provider.settings import LEAVE, RefusedError, Settings, configure, is_loopback

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {
    "ARM_SUBSCRIPTION_ID": SUBSCRIPTION_ID,
    "ARM_TENANT_ID": "t",
    "ARM_CLIENT_ID": "c",
    "ARM_CLIENT_SECRET": "canary",
    "ARM_METADATA_HOSTNAME": "localhost:1",
    "SSL_CERT_FILE": "/ca.pem",
}
EXPECTED = Settings(SUBSCRIPTION_ID, "t", "c", "canary", "https://localhost:1", "/ca.pem", None)


def test_variables_are_enough(tmp_path: Path) -> None:
    assert configure({}, tmp_path, VARIABLES) == EXPECTED


def test_what_the_emulator_wrote_wins_over_variables_and_config_wins_over_both(tmp_path: Path) -> None:
    document = {"subscription_id": SUBSCRIPTION_ID, "tenant_id": "t", "client_id": "c", "client_secret": "canary"}
    document |= {"metadata_host": "localhost:1", "ca_file": "/ca.pem"}
    (tmp_path / "endpoint.json").write_text(json.dumps(document))
    assert configure({}, tmp_path, {"ARM_SUBSCRIPTION_ID": "other", "ARM_TENANT_ID": "other"}) == EXPECTED
    made = configure({"azure-native:config:tenantId": "mine", "azure-native:config:location": "x"}, tmp_path, {})
    assert (made.tenant_id, made.location) == ("mine", "x")


def test_an_unknown_config_value_of_a_preview_is_passed_over(tmp_path: Path) -> None:
    config = {"azure-native:config:subscriptionId": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}
    assert configure(config, tmp_path, VARIABLES) == EXPECTED


@pytest.mark.parametrize(
    ("config", "subscription", "said"),
    [
        (
            {"azure-native:config:subscriptionId": "11111111-2222"},
            SUBSCRIPTION_ID,
            "the configuration azure-native:subscriptionId (or the variable ARM_SUBSCRIPTION_ID) says '11111111-2222'",
        ),
        ({}, "", "the variable ARM_SUBSCRIPTION_ID says nothing"),
    ],
)
def test_any_subscription_but_the_emulators_is_refused(
    tmp_path: Path, config: dict[str, str], subscription: str, said: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        configure(config, tmp_path, {**VARIABLES, "ARM_SUBSCRIPTION_ID": subscription})
    assert str(caught.value) == (
        f"The emulator plays the subscription {SUBSCRIPTION_ID} and no other, but {said}."
        f" {LEAVE} To work with the emulator, remove that setting."
    )


def test_any_cloud_but_this_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        configure({"azure-native:config:metadataHost": "https://management.azure.com"}, tmp_path, VARIABLES)
    assert str(caught.value) == (
        "The emulator's metadata host is on this machine, but the configuration azure-native:metadataHost (or the"
        f" variable ARM_METADATA_HOSTNAME) says 'https://management.azure.com'. {LEAVE} To work with the emulator,"
        " remove that setting."
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8443", True),
        ("https://127.0.0.1:8443/x", True),
        ("[::1]:8443", True),
        ("localhost.evil.example", False),
        ("https://localhost@evil.example", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_secret_is_not_in_the_settings_text() -> None:
    assert "canary" not in repr(EXPECTED)
