"""Machines that are taken; those that are not are in the corpus."""

from __future__ import annotations

import pytest

from specs.virtual_machine import FORBIDDEN_NAMES, VirtualMachineSpec

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzN0Fd6SuWjAGyTYYpYXgkFPcTHRUSlAPXtVPvBjMOT"
ACCOUNT = {"username": "jobs", "private_key": "box-key"}
MADE = {"vm_size": "Standard_D2s_v3", "admin_public_key": KEY, "subnet": "machines"}


def machine(**fields: object) -> VirtualMachineSpec:
    return VirtualMachineSpec.model_validate({"kind": "VirtualMachine", "administrator_account": ACCOUNT, **fields})


@pytest.mark.parametrize(
    "address", ["10.0.2.4", "gpu-box", "gpu-box.example.com", "fd00::4", "2001:db8::1", "1a.example"]
)
def test_a_host_is_reached_by_name_or_address(address: str) -> None:
    assert machine(address=address, host_key=KEY).address == address


@pytest.mark.parametrize("address", ["", "a b", "-a", "a.", "a/b", "user@a", "a:22", "$(id)", "a;b", "a\nb"])
def test_what_is_no_host_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        machine(address=address, host_key=KEY)


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f"{KEY} team box",
        f"ecdsa-sha2-nistp256 {'A' * 44}==",
        f"ssh-rsa {'A' * 372}",
        f"sk-ssh-ed25519@openssh.com {'A' * 100}",
    ],
)
def test_every_form_of_openssh_keys_is_taken(key: str) -> None:
    assert machine(address="h", host_key=key).host_key == key


def test_a_made_machine_needs_no_host_key_before_it_stands() -> None:
    assert machine(virtual_machine=MADE).host_key is None


def test_an_attached_machine_may_have_users_that_a_made_one_may_not() -> None:
    account = {"username": "admin", "private_key": "k"}
    assert "admin" in FORBIDDEN_NAMES
    assert machine(address="h", host_key=KEY, administrator_account=account).administrator_account.username == "admin"


def test_sources_of_ssh_may_be_one_address_or_a_range() -> None:
    made = {**MADE, "public_ip": True, "allow_ssh_from": ["203.0.113.7", "203.0.113.0/24", "2001:db8::/32"]}
    found = machine(virtual_machine=made).virtual_machine
    assert found is not None
    assert found.allow_ssh_from == ["203.0.113.7", "203.0.113.0/24", "2001:db8::/32"]
