"""VirtualMachine: a machine outside the workspace, reached by SSH: an existing one, or one that this stack makes."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import (
    ArmId,
    ConfigKey,
    Fault,
    Location,
    Named,
    OpenSshKey,
    Spec,
    Tags,
    UserName,
    VmSize,
    Wire,
    raise_faults,
    worded,
)

Host = Annotated[
    str,
    worded(
        r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F]*(:[0-9a-fA-F.]*){2,}",
        "must be a host's name or IP address alone, such as gpu-box.example.com or 10.0.2.4; the port is ssh_port",
    ),
]
Port = Annotated[int, Field(ge=1, le=65_535)]
FORBIDDEN_NAMES = frozenset({
    *("administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "admin1", "1", "123", "a"),
    *("actuser", "adm", "admin2", "aspnet", "backup", "console", "david", "guest", "john", "owner", "root", "server"),
    *("sql", "support", "support_388945a0", "sys", "test2", "test3", "user4", "user5"),
})  # fmt: skip
"""OSProfile.adminUsername, "Disallowed values" (azure-rest-api-specs, Microsoft.Compute)."""
Image = Literal["ubuntu-24.04", "ubuntu-22.04", "ubuntu-dsvm"]
"""Ubuntu only: the service takes no other machine as a target (azure-docs how-to-set-up-training-targets)."""


class AdministratorAccount(Spec):
    """The account that jobs run as. Keys, not passwords, where you can choose."""

    username: Annotated[UserName, Wire("username", "replace")]
    """Its name."""
    password: Annotated[ConfigKey | None, Wire("password", "replace")] = None
    """Name of the Pulumi config key that holds its password; never the password itself."""
    private_key: Annotated[ConfigKey | None, Wire("privateKeyData", "replace")] = None
    """Name of the Pulumi config key that holds its private key (`invoke secret NAME < id_ed25519`)."""
    private_key_passphrase: Annotated[ConfigKey | None, Wire(None, "replace")] = None
    """Name of the config key that holds the private key's passphrase. The service has no field for it: the key is
    opened here and kept encrypted by Pulumi and by the service."""


class VirtualMachineCreation(Spec):
    """A machine to make: Ubuntu, key login only."""

    vm_size: Annotated[VmSize, Wire(None, "replace")]
    """Its size; Microsoft.Compute's quota, not the workspace's."""
    image: Annotated[Image, Wire(None, "replace")] = "ubuntu-24.04"
    """Ubuntu, or the Data Science Virtual Machine for Ubuntu."""
    admin_public_key: Annotated[OpenSshKey, Wire(None, "replace")]
    """The key that may log in; its private half is `administrator_account.private_key`, or in the user's ssh-agent."""
    subnet: Annotated[Named, Wire(None, "replace")]
    """Name of a subnet of this stack's `network`, of another stack's, or an ARM id."""
    public_ip: Annotated[bool, Wire(None, "replace")] = False
    """Whether it gets a public address, open for SSH to `allow_ssh_from` only."""
    allow_ssh_from: Annotated[list[str], Wire(None)] = []
    """Address ranges that may reach its SSH port from outside its network; the whole Internet is refused."""
    os_disk_gib: Annotated[Annotated[int, Field(ge=30, le=4095)], Wire(None)] = 64
    """Size of its disk, GiB. It grows in place while the machine is stopped (`invoke stop`), and never shrinks."""


class VirtualMachineSpec(Spec):
    """An attached machine as declared. The fields are those of ARM's VirtualMachineSchemaProperties, 2025-12-01.

    What is attached is detached when it leaves the file, never deleted; a machine made here is deleted with the stack.
    """

    kind: Annotated[Literal["VirtualMachine"], Wire("properties.computeType", "replace")]
    """ARM's `computeType`."""
    resource_id: Annotated[ArmId | None, Wire("properties.resourceId", "replace")] = None
    """ARM id of an existing Azure machine."""
    address: Annotated[Host | None, Wire("properties.properties.address", "replace")] = None
    """Name or address of an existing machine, in Azure or elsewhere."""
    virtual_machine: Annotated[VirtualMachineCreation | None, Wire(None, "replace")] = None
    """Make a machine and attach it, instead of attaching an existing one."""
    ssh_port: Annotated[Port, Wire("properties.properties.sshPort", "replace")] = 22
    """Where its SSH server listens."""
    administrator_account: Annotated[
        AdministratorAccount, Wire("properties.properties.administratorAccount", "replace")
    ]
    """Who logs in."""
    host_key: Annotated[OpenSshKey | None, Wire(None)] = None
    """The machine's own public key, as in its /etc/ssh/ssh_host_ed25519_key.pub. Pinned: another one is refused, and
    none is ever accepted unseen. A machine that this stack makes has none yet: `invoke host-key TARGET` reads it."""
    disable_local_auth: Annotated[bool, Wire("properties.disableLocalAuth", "replace")] = True
    """Refuse other ways in than this account."""
    location: Annotated[Location | None, Wire("properties.computeLocation", "replace")] = None
    """Region of the machine; absent: the workspace's."""
    description: Annotated[Annotated[str, Field(max_length=5000)] | None, Wire("properties.description")] = None
    """Free text."""
    tags: Annotated[Tags, Wire("tags")] = {}
    """Added to the stack's tags."""

    @model_validator(mode="after")
    def _possible(self) -> VirtualMachineSpec:
        raise_faults([*self._which_machine(), *self._account()])
        return self

    def _which_machine(self) -> list[Fault]:
        existing, made = self.resource_id or self.address, self.virtual_machine
        if made and existing:
            given = "resource_id" if self.resource_id else "address"
            message = f"{given} attaches an existing machine, so none can be made too. Delete one of the two."
            return [Fault(at=("virtual_machine",), message=message, rule="vm-source")]
        if not made and not existing:
            message = "needs address or resource_id of an existing machine, or virtual_machine to make one."
            return [Fault(at=(), message=message, rule="vm-source")]
        if existing and not self.host_key:
            message = (
                "needs host_key, the machine's own public key: on it, type cat /etc/ssh/ssh_host_ed25519_key.pub. "
                "It is pinned, so that nobody can stand in for the machine."
            )
            return [Fault(at=(), message=message, rule="host-key")]
        if existing and not self.address:
            message = "needs address too: a machine's ARM id does not say how to reach it."
            return [Fault(at=("resource_id",), message=message, rule="vm-address")]
        if made and made.public_ip and not made.allow_ssh_from:
            message = "a public address needs allow_ssh_from: the ranges that may reach its SSH port."
            return [Fault(at=("virtual_machine", "public_ip"), message=message, rule="vm-ssh-source")]
        return [
            Fault(at=("virtual_machine", "allow_ssh_from", index), message=words, rule="vm-ssh-source")
            for index, text in enumerate(made.allow_ssh_from if made else [])
            if (words := _not_a_range(text))
        ]

    def _account(self) -> list[Fault]:
        account, at = self.administrator_account, ("administrator_account",)
        if self.virtual_machine and account.username in FORBIDDEN_NAMES:
            message = "is a name that Azure refuses for the account of a machine that it makes. Choose another, "
            message += "for example azureuser."
            return [Fault(at=(*at, "username"), message=message, rule="vm-username")]
        if self.virtual_machine and account.password:
            message = "a machine that is made here takes keys only. Delete it."
            return [Fault(at=(*at, "password"), message=message, rule="vm-key-only")]
        if account.private_key_passphrase and not account.private_key:
            message = "opens private_key, which is absent. Give that, or delete this."
            return [Fault(at=(*at, "private_key_passphrase"), message=message, rule="vm-account")]
        if account.password and account.private_key:
            return [Fault(at=at, message="needs password or private_key, not both.", rule="vm-account")]
        if not (account.password or account.private_key):
            message = "needs private_key (or password): the name of a config key set by invoke secret NAME."
            return [Fault(at=at, message=message, rule="vm-account")]
        return []


def _not_a_range(text: str) -> str:
    """Say why a text can't be a source of SSH; empty when it can."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return "is not an address range such as 203.0.113.7/32."
    return "is the whole Internet. Give your own ranges." if network.prefixlen == 0 else ""
