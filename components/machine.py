"""A machine that the stack makes: Ubuntu with key login only, its network interface, and what may reach it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_azure_native import compute, network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.virtual_machine import Image, VirtualMachineCreation

SSH = 22
IMAGES: dict[Image, tuple[str, str, str]] = {
    "ubuntu-24.04": ("Canonical", "ubuntu-24_04-lts", "server"),
    "ubuntu-22.04": ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
    "ubuntu-dsvm": ("microsoft-dsvm", "ubuntu-2204", "2204-gen2"),
}
"""Publisher, offer and SKU (Azure Marketplace: Canonical's list documentation.ubuntu.com/azure "Find Ubuntu images",
and `az vm image list --publisher microsoft-dsvm`: no purchase plan)."""
NIC_REPLACING = ["ipConfigurations[*].subnet"]
VM_REPLACING = ["hardwareProfile", "networkProfile", "osProfile", "storageProfile.imageReference"]
"""Azure refuses another image or account for a standing machine (Compute, VirtualMachines_CreateOrUpdate); another size
could be had in place by a restart that nobody asked for. The vendor's provider replaces for the location only."""


@dataclass(frozen=True, slots=True)
class MachineArgs:
    """What the machine is made of, and where."""

    spec: VirtualMachineCreation
    username: str
    ssh_port: int
    resource_group: pulumi.Input[str]
    location: str
    subnet_id: pulumi.Input[str]
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Machine:
    """A declared machine."""

    id: pulumi.Output[str]
    """ARM id."""
    address: pulumi.Output[str]
    """Its public address where it has one, else its private one."""
    anew_with: tuple[pulumi.Resource, ...]
    """What it is another machine without: itself, and what holds its address."""


def machine(name: str, args: MachineArgs, parent: pulumi.Resource) -> Machine:
    """Declare a machine: `NAME-ip` (if public), `NAME-nsg`, `NAME-nic`, `NAME-machine`."""
    public = _public_ip(name, args, parent) if args.spec.public_ip else None
    group = network.NetworkSecurityGroup(
        f"{name}-nsg",
        network.NetworkSecurityGroupInitArgs(
            resource_group_name=args.resource_group,
            network_security_group_name=f"{name}-nsg",
            location=args.location,
            security_rules=_ssh_rules(args),
            tags=args.tags,
        ),
        pulumi.ResourceOptions(parent=parent),
    )
    nic = _interface(name, args, public, group.id, parent)
    made = compute.VirtualMachine(
        f"{name}-machine",
        compute.VirtualMachineArgs(
            resource_group_name=args.resource_group,
            vm_name=name,
            location=args.location,
            hardware_profile=compute.HardwareProfileArgs(vm_size=args.spec.vm_size),
            os_profile=_os_profile(name, args),
            storage_profile=_storage_profile(args.spec),
            network_profile=compute.NetworkProfileArgs(
                network_interfaces=[compute.NetworkInterfaceReferenceArgs(id=nic.id, primary=True)]
            ),
            tags=args.tags,
        ),
        pulumi.ResourceOptions(parent=parent, replace_on_changes=list(VM_REPLACING), delete_before_replace=True),
    )
    address = nic.ip_configurations.apply(private_address) if public is None else public.ip_address.apply(text)
    return Machine(made.id, address, (made, nic if public is None else public))


def _public_ip(name: str, args: MachineArgs, parent: pulumi.Resource) -> network.PublicIPAddress:
    return network.PublicIPAddress(
        f"{name}-ip",
        network.PublicIPAddressInitArgs(
            resource_group_name=args.resource_group,
            public_ip_address_name=f"{name}-ip",
            location=args.location,
            sku=network.PublicIPAddressSkuArgs(name=network.PublicIPAddressSkuName.STANDARD),
            public_ip_allocation_method=network.IPAllocationMethod.STATIC,
            tags=args.tags,
        ),
        pulumi.ResourceOptions(parent=parent),
    )


def _interface(
    name: str,
    args: MachineArgs,
    public: network.PublicIPAddress | None,
    group_id: pulumi.Output[str],
    parent: pulumi.Resource,
) -> network.NetworkInterface:
    return network.NetworkInterface(
        f"{name}-nic",
        network.NetworkInterfaceArgs(
            resource_group_name=args.resource_group,
            network_interface_name=f"{name}-nic",
            location=args.location,
            ip_configurations=[
                network.NetworkInterfaceIPConfigurationArgs(
                    name="primary",
                    primary=True,
                    private_ip_allocation_method=network.IPAllocationMethod.DYNAMIC,
                    subnet=network.SubnetArgs(id=args.subnet_id),
                    public_ip_address=network.PublicIPAddressArgs(id=public.id) if public else None,
                )
            ],
            network_security_group=network.NetworkSecurityGroupArgs(id=group_id),
            tags=args.tags,
        ),
        pulumi.ResourceOptions(parent=parent, replace_on_changes=list(NIC_REPLACING), delete_before_replace=True),
    )


def _ssh_rules(args: MachineArgs) -> list[network.SecurityRuleArgs]:
    """Open the SSH port to the named ranges; Azure's own rules let the virtual network in and nobody else."""
    if not args.spec.allow_ssh_from:
        return []
    return [
        network.SecurityRuleArgs(
            name="ssh",
            priority=1000,
            direction=network.SecurityRuleDirection.INBOUND,
            access=network.SecurityRuleAccess.ALLOW,
            protocol=network.SecurityRuleProtocol.TCP,
            source_address_prefixes=list(args.spec.allow_ssh_from),
            source_port_range="*",
            destination_address_prefix="*",
            destination_port_range=str(args.ssh_port),
        )
    ]


def _os_profile(name: str, args: MachineArgs) -> compute.OSProfileArgs:
    key = compute.SshPublicKeyArgs(
        path=f"/home/{args.username}/.ssh/authorized_keys", key_data=args.spec.admin_public_key
    )
    return compute.OSProfileArgs(
        computer_name=name,
        admin_username=args.username,
        custom_data=custom_data(args.ssh_port),
        linux_configuration=compute.LinuxConfigurationArgs(
            disable_password_authentication=True, ssh=compute.SshConfigurationArgs(public_keys=[key])
        ),
    )


def _storage_profile(spec: VirtualMachineCreation) -> compute.StorageProfileArgs:
    publisher, offer, sku = IMAGES[spec.image]
    return compute.StorageProfileArgs(
        image_reference=compute.ImageReferenceArgs(publisher=publisher, offer=offer, sku=sku, version="latest"),
        os_disk=compute.OSDiskArgs(
            create_option=compute.DiskCreateOptionTypes.FROM_IMAGE,
            # Else the disk stays behind, and is paid for, when the machine goes.
            delete_option=compute.DiskDeleteOptionTypes.DELETE,
            disk_size_gb=spec.os_disk_gib,
            managed_disk=compute.ManagedDiskParametersArgs(
                storage_account_type=compute.StorageAccountTypes.STANDARD_SS_D_LRS
            ),
        ),
    )


def custom_data(ssh_port: int) -> str | None:
    """Write cloud-init's file for another SSH port, in base64; None for the usual one.

    Ubuntu 24.04 listens by ssh.socket, whose port is read from sshd's files at a daemon-reload; 22.04 by ssh.service.
    """
    if ssh_port == SSH:
        return None
    content = f"""#cloud-config
write_files:
  - path: /etc/ssh/sshd_config.d/60-trainyard.conf
    content: |
      Port {ssh_port}
runcmd:
  - systemctl daemon-reload
  - systemctl try-restart ssh.socket
  - systemctl restart ssh
"""
    return base64.b64encode(content.encode()).decode()


def private_address(configurations: Sequence[network.outputs.NetworkInterfaceIPConfigurationResponse] | None) -> str:
    """Return the private address that the interface got."""
    return next((text(item.private_ip_address) for item in configurations or () if item.private_ip_address), "")


def text(value: str | None) -> str:
    """Return an address; empty while there is none."""
    return value or ""
