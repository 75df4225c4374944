"""A machine attached to a workspace: one that exists, or one that is made here first.

At destroy the attachment is detached (Compute_Delete, `underlyingResourceAction=Detach`), never the machine deleted;
a machine that was made here then goes as a resource of the stack.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from components.aml_compute import replaced
from components.base import Component, Declared
from components.keys import open_key
from specs.base import fixed, replacing
from specs.targets import VirtualMachineTarget
from specs.virtual_machine import VirtualMachineSpec

if TYPE_CHECKING:
    from components.base import ComputeDependencies, Place, Secrets
    from components.machine import Machine
    from specs.virtual_machine import AdministratorAccount


class VirtualMachine(Component):
    """The attachment: its ARM id, and the address of the machine where it is made here."""

    id: pulumi.Output[str]
    declared: Declared

    def __init__(
        self,
        name: str,
        spec: VirtualMachineSpec,
        place: Place,
        dependencies: ComputeDependencies,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("VirtualMachine", name, opts)
        made = self._machine(name, spec, place, dependencies)
        compute = ml.Compute(
            name,
            ml.ComputeArgs(
                resource_group_name=dependencies.resource_group,
                workspace_name=dependencies.workspace_name,
                compute_name=name,
                location=dependencies.location,
                properties=ml.VirtualMachineArgs(
                    compute_type=spec.kind,
                    compute_location=spec.location or dependencies.location,
                    description=spec.description,
                    disable_local_auth=spec.disable_local_auth,
                    resource_id=made.id if made else spec.resource_id,
                    properties=ml.VirtualMachineSchemaPropertiesArgs(
                        address=made.address if made else spec.address,
                        ssh_port=spec.ssh_port,
                        administrator_account=_account(name, spec.administrator_account, dependencies.secrets),
                    ),
                ),
                tags=place.tagged(spec.tags),
            ),
            pulumi.ResourceOptions.merge(replaced(self, replacing(VirtualMachineSpec), dependencies), _follows(made)),
        )
        self.id = compute.id
        self.declared = Declared(compute.id, made.address if made else None)
        self.register_outputs({"id": self.id})

    def _machine(
        self, name: str, spec: VirtualMachineSpec, place: Place, dependencies: ComputeDependencies
    ) -> Machine | None:
        """Declare the machine, if one is to be made; importing the vendor's modules for it costs a second."""
        if spec.virtual_machine is None:
            return None
        from components.machine import MachineArgs, machine

        args = MachineArgs(
            spec=spec.virtual_machine,
            username=spec.administrator_account.username,
            ssh_port=spec.ssh_port,
            resource_group=place.resource_group,
            location=spec.location or dependencies.location,
            subnet_id=dependencies.subnet_id(spec.virtual_machine.subnet),
            tags=place.tagged(spec.tags),
        )
        return machine(name, args, self)


def _follows(made: Machine | None) -> pulumi.ResourceOptions:
    """Tie the attachment to the machine that is made for it, not to its address.

    A plan knows the address as unknown whenever anything of the interface or the public address changes, a tag even,
    and would announce the attachment as replaced. It lives as long as they do.
    """
    if made is None:
        return pulumi.ResourceOptions()
    return pulumi.ResourceOptions(ignore_changes=["properties.properties.address"], replace_with=list(made.anew_with))


def _account(name: str, account: AdministratorAccount, secrets: Secrets) -> ml.VirtualMachineSshCredentialsArgs:
    """Render the login. The vendor's SDK marks no secret: that `secrets` answers with ones keeps them out of state."""
    return ml.VirtualMachineSshCredentialsArgs(
        username=account.username,
        password=secrets(account.password) if account.password else None,
        private_key_data=_private_key(name, account, secrets),
    )


def _private_key(name: str, account: AdministratorAccount, secrets: Secrets) -> pulumi.Output[str] | None:
    if account.private_key is None:
        return None
    key = secrets(account.private_key)
    if account.private_key_passphrase is None:
        return key
    passphrase = secrets(account.private_key_passphrase)
    opener = partial(open_key, compute=name, key=account.private_key, passphrase=account.private_key_passphrase)
    return pulumi.Output.all(key, passphrase).apply(opener)


def target(
    name: str, workspace: str, spec: VirtualMachineSpec, id_: str, address: str | None = None
) -> VirtualMachineTarget:
    """Describe the machine for `runtime`, from its spec, its ids and its address only."""
    return VirtualMachineTarget(
        name=name,
        id=id_,
        workspace=workspace,
        fixed=fixed(spec),
        address=address or spec.address or "",
        ssh_port=spec.ssh_port,
        username=spec.administrator_account.username,
        host_key=spec.host_key,
        resource_id=spec.resource_id,
        made_here=spec.virtual_machine is not None,
    )
