"""Where nodes may stand: subnets, managed networks and public addresses of a workspace and its computes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specs.aml_compute import AmlComputeSpec
from specs.base import Fault
from specs.compute import OnNodes
from specs.workspace import WorkspaceSpec

if TYPE_CHECKING:
    from specs.stack import StackSpec


def placement_faults(spec: StackSpec) -> list[Fault]:
    """Check a stack's computes against what their workspaces' networks allow."""
    return [*_own_subnets(spec), *_serverless(spec), *_cluster_identities(spec)]


def _managed(workspace: object) -> bool:
    network = workspace.managed_network if isinstance(workspace, WorkspaceSpec) else None
    return network is not None and network.isolation_mode != "Disabled"


def _own_subnets(spec: StackSpec) -> list[Fault]:
    """Check that a workspace with a managed network has no compute in a subnet (azure-docs how-to-managed-network)."""
    message = "the workspace has a managed network, which takes no compute in a subnet. Delete one of the two."
    return [
        Fault(at=(*at, "subnet"), message=message, rule="managed-network-subnet")
        for at, compute in spec.computes()
        if isinstance(compute, OnNodes) and compute.subnet and _managed(spec.all_workspaces()[at[1]])
    ]


def lonely_nodes(spec: StackSpec) -> list[Fault]:
    """Warn of nodes without public addresses and without a network of their own or of their workspace's.

    azure-docs how-to-secure-training-vnet, "no public IP": they reach nothing, unless the workspace's private endpoint
    is in the service's own network. Of a workspace of others nobody here knows its network.
    """
    faults = []
    for at, compute in spec.computes():
        if at[0] != "workspaces" or not isinstance(compute, OnNodes) or compute.subnet:
            continue
        workspace, given = spec.workspaces[at[1]], compute.enable_node_public_ip
        if (given is False or (given is None and workspace.private)) and not _managed(workspace):
            why = "it says so" if given is False else "the workspace is private"
            message = f"its nodes get no public address, because {why}, and no network. Give it a subnet."
            faults.append(Fault(at=at, message=message, rule="node-network", severity="warning", key=True))
    return faults


def _serverless(spec: StackSpec) -> list[Fault]:
    """Check serverless compute: in a private workspace, no public address needs a subnet (azurerm's provider docs)."""
    message = "its nodes get no public address in a private workspace, so they need a subnet: name one."
    return [
        Fault(at=("workspaces", name, "serverless_compute"), message=message, rule="serverless-network")
        for name, item in spec.workspaces.items()
        if item.serverless_compute
        and item.serverless_compute.no_public_ip
        and item.serverless_compute.subnet is None
        and item.private
        and not _managed(item)
    ]


def _cluster_identities(spec: StackSpec) -> list[Fault]:
    """Check that a cluster is somebody, not several kinds of them (azure-docs how-to-create-attach-compute-cluster)."""
    message = "a cluster is itself (SystemAssigned) or its user-assigned identities (UserAssigned), not both."
    return [
        Fault(at=(*at, "identity", "type"), message=message, rule="cluster-identity")
        for at, compute in spec.computes()
        if isinstance(compute, AmlComputeSpec)
        and compute.identity
        and compute.identity.type == "SystemAssigned,UserAssigned"
    ]
