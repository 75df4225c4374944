"""Two valid values of every field of a compute that reaches Azure: what stands in the file before, and after.

Each is laid over the kind's base, top-level field by top-level field. ARM ids, so that the emulator can take them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tests.components.compute_kit import PUBLIC_KEY
from tests.emulator.arm_kit import SUB

if TYPE_CHECKING:
    from collections.abc import Mapping

Fields: TypeAlias = "dict[str, object]"

OTHER_KEY = PUBLIC_KEY.replace("AAAAIGd1", "AAAAIGd2")
GROUP = f"{SUB}/resourceGroups/rg/providers"
NETWORK = f"{GROUP}/Microsoft.Network/virtualNetworks/north"
NODES, OTHERS = f"{NETWORK}/subnets/nodes", f"{NETWORK}/subnets/others"
TRAINER, TESTER = (f"{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/{name}" for name in ("trainer", "tester"))
ELSEWHERE = "/subscriptions/11111111-2222-4333-8444-555555555555/resourceGroups/lab/providers"
"""Of another subscription, so that what is attached need not stand here."""
MACHINE, SPARE = (f"{ELSEWHERE}/Microsoft.Compute/virtualMachines/{name}" for name in ("machine", "spare"))
PERSON, OTHER_PERSON = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"

BASES: Mapping[str, Fields] = {
    "AmlCompute": {"kind": "AmlCompute", "vm_size": "Standard_D2_v3", "max_node_count": 4},
    "ComputeInstance": {"kind": "ComputeInstance", "vm_size": "Standard_D2_v3"},
    "VirtualMachine": {
        "kind": "VirtualMachine",
        "address": "10.1.2.3",
        "administrator_account": {"username": "ops", "private_key": "key"},
        "host_key": PUBLIC_KEY,
    },
}


def _identity(type_: str, *ids: str) -> Fields:
    return {"identity": {"type": type_, "user_assigned_identities": list(ids)}}


def _account(**fields: str) -> Fields:
    account = {"admin_user_name": "ada", "admin_user_ssh_public_key": PUBLIC_KEY, **fields}
    return {"user_account_credentials": account, "disable_local_auth": False}


def _ssh(key: str) -> Fields:
    return {"ssh_settings": {"ssh_public_access": "Enabled", "admin_public_key": key}, "disable_local_auth": False}


def _login(**fields: str) -> Fields:
    return {"administrator_account": {"username": "ops", **fields}}


def _person(object_id: str, tenant_id: str = PERSON) -> Fields:
    return {"assigned_user": {"object_id": object_id, "tenant_id": tenant_id}}


def _script(when: str, **fields: str) -> Fields:
    return {"setup_scripts": {when: {"script_data": "echo", **fields}}}


def _stop(expression: str) -> Fields:
    return {"schedules": [{"action": "Stop", "cron": {"expression": expression}}]}


IDENTITY: dict[str, tuple[Fields, Fields]] = {
    "identity": ({}, _identity("SystemAssigned")),
    "identity.type": (_identity("UserAssigned", TRAINER), _identity("SystemAssigned,UserAssigned", TRAINER)),
    "identity.user_assigned_identities": (_identity("UserAssigned", TRAINER), _identity("UserAssigned", TESTER)),
}
WORDS: dict[str, tuple[Fields, Fields]] = {
    "description": ({"description": "one"}, {"description": "two"}),
    "tags": ({"tags": {"use": "one"}}, {"tags": {"use": "two"}}),
}
NODES_FIELDS: dict[str, tuple[Fields, Fields]] = {
    "vm_size": ({}, {"vm_size": "Standard_D4_v3"}),
    "subnet": ({"subnet": NODES}, {"subnet": OTHERS}),
    "enable_node_public_ip": (
        {"subnet": NODES, "enable_node_public_ip": False},
        {"subnet": NODES, "enable_node_public_ip": True},
    ),
    "disable_local_auth": ({}, {"disable_local_auth": False}),
}
VALUES: Mapping[str, Mapping[str, tuple[Fields, Fields]]] = {
    "AmlCompute": {
        **IDENTITY,
        **WORDS,
        **NODES_FIELDS,
        "kind": ({}, BASES["ComputeInstance"]),
        "vm_priority": ({}, {"vm_priority": "LowPriority"}),
        "min_node_count": ({}, {"min_node_count": 1}),
        "max_node_count": ({}, {"max_node_count": 5}),
        "node_idle_time_before_scale_down": ({}, {"node_idle_time_before_scale_down": "PT5M"}),
        "remote_login_port_public_access": ({}, {"remote_login_port_public_access": "Enabled"}),
        "user_account_credentials": ({"disable_local_auth": False}, _account()),
        "user_account_credentials.admin_user_name": (_account(), _account(admin_user_name="bob")),
        "user_account_credentials.admin_user_ssh_public_key": (
            _account(),
            _account(admin_user_ssh_public_key=OTHER_KEY),
        ),
        "user_account_credentials.admin_user_password": (
            _account(admin_user_password="one"),
            _account(admin_user_password="two"),
        ),
        "location": ({}, {"location": "westeurope"}),
    },
    "ComputeInstance": {
        **IDENTITY,
        **WORDS,
        **NODES_FIELDS,
        "kind": ({}, BASES["AmlCompute"]),
        "ssh_settings": ({"disable_local_auth": False}, _ssh(PUBLIC_KEY)),
        "ssh_settings.ssh_public_access": (
            {**_ssh(PUBLIC_KEY), "ssh_settings": {"admin_public_key": PUBLIC_KEY}},
            _ssh(PUBLIC_KEY),
        ),
        "ssh_settings.admin_public_key": (_ssh(PUBLIC_KEY), _ssh(OTHER_KEY)),
        "assigned_user": ({}, _person(PERSON)),
        "assigned_user.object_id": (_person(PERSON), _person(OTHER_PERSON)),
        "assigned_user.tenant_id": (_person(PERSON), _person(PERSON, OTHER_PERSON)),
        "application_sharing_policy": ({}, {"application_sharing_policy": "Shared"}),
        "idle_time_before_shutdown": ({}, {"idle_time_before_shutdown": "PT30M"}),
        "schedules": (_stop("30 18 * * *"), _stop("0 20 * * *")),
        "setup_scripts": ({}, _script("creation_script")),
        "setup_scripts.creation_script": (_script("creation_script"), _script("creation_script", script_data="ls")),
        "setup_scripts.startup_script": (_script("startup_script"), _script("startup_script", timeout="PT5M")),
        "enable_sso": ({}, {"enable_sso": False}),
    },
    "VirtualMachine": {
        **WORDS,
        "kind": ({}, BASES["AmlCompute"]),
        "resource_id": ({"resource_id": MACHINE}, {"resource_id": SPARE}),
        "address": ({}, {"address": "10.1.2.4"}),
        "ssh_port": ({}, {"ssh_port": 2222}),
        "administrator_account": (_login(private_key="key"), _login(password="word")),
        "administrator_account.username": ({}, {"administrator_account": {"username": "ada", "private_key": "key"}}),
        "administrator_account.password": (_login(password="one"), _login(password="two")),
        "administrator_account.private_key": ({}, _login(private_key="other")),
        "disable_local_auth": ({}, {"disable_local_auth": False}),
        "location": ({}, {"location": "westus2"}),
    },
}
