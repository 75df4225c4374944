"""The rules of a subnet's network security group: what the service needs of what stands in the subnet. Pure.

Source: azure-docs how-to-access-azureml-behind-firewall (2026-03-19), "Basic configuration" and the scenarios. Azure's
own default rules let everything out and nothing in from outside the network; ours matter beside a user's rule that
denies more. Nothing here opens SSH, but to the ranges that a machine's `allow_ssh_from` names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from specs.compute import OnNodes
from specs.network import SERVICE_PRIORITIES
from specs.virtual_machine import VirtualMachineSpec
from specs.workspace import ExistingWorkspace, WorkspaceSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from specs.compute import ComputeSpec
    from specs.stack import StackSpec

FIRST, SSH_FIRST = SERVICE_PRIORITIES[0], SERVICE_PRIORITIES[0] + 100


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that allows something."""

    name: str
    direction: str
    protocol: str
    sources: tuple[str, ...]
    destination: str
    ports: tuple[str, ...]


class Machine(NamedTuple):
    """A machine that the stack makes, and who may reach its SSH server from outside."""

    name: str
    port: int
    ranges: tuple[str, ...]


@dataclass(slots=True)
class Uses:
    """What stands in a subnet."""

    nodes: bool = False
    """Nodes of clusters, instances or serverless compute."""
    public_nodes: bool = False
    """Some of them with a public address."""
    sensitive: bool = False
    """Some of a workspace with `hbi_workspace`."""
    regions: set[str] = field(default_factory=set)
    """Of the workspaces whose nodes they are."""
    machines: list[Machine] = field(default_factory=list)
    endpoints: bool = False
    """Private endpoints."""

    @property
    def takes_nodes(self) -> bool:
        """Whether it is a place for nodes; one that nothing of this stack uses may be for other stacks' nodes."""
        return self.nodes or not (self.machines or self.endpoints)


def uses(spec: StackSpec) -> Mapping[str, Uses]:
    """Say what of a stack stands in each of its own subnets."""
    found = {name: Uses() for name in (spec.network.subnets if spec.network else {})}
    for at, compute in spec.computes():
        _compute(found, spec, at, compute)
    for workspace in spec.workspaces.values():
        serverless, endpoint = workspace.serverless_compute, workspace.private_endpoint
        if serverless and serverless.subnet in found:
            use = found[serverless.subnet]
            use.nodes = True
            use.public_nodes |= not serverless.no_public_ip
            use.sensitive |= workspace.hbi_workspace
            use.regions.add(spec.location)
        if endpoint and endpoint.subnet in found:
            found[endpoint.subnet].endpoints = True
    return found


def _compute(found: Mapping[str, Uses], spec: StackSpec, at: tuple[str, ...], compute: ComputeSpec) -> None:
    if isinstance(compute, VirtualMachineSpec):
        made = compute.virtual_machine
        if made and made.subnet in found:
            found[made.subnet].machines.append(Machine(at[-1], compute.ssh_port, tuple(made.allow_ssh_from)))
    if not isinstance(compute, OnNodes) or compute.subnet is None or compute.subnet not in found:
        return
    home, use = spec.all_workspaces()[at[1]], found[compute.subnet]
    use.nodes = True
    use.public_nodes |= not home.private if compute.enable_node_public_ip is None else compute.enable_node_public_ip
    use.sensitive |= isinstance(home, WorkspaceSpec) and home.hbi_workspace
    use.regions.add((home.location if isinstance(home, ExistingWorkspace) else None) or spec.location)


def service_rules(use: Uses, prefix: str, location: str) -> list[tuple[int, Rule]]:
    """List the rules for a subnet with their priorities, which count up by direction."""
    rules: list[tuple[int, Rule]] = []
    if use.takes_nodes:
        rules += enumerate(_inbound(use), FIRST)
        rules += enumerate(_outbound(use, sorted({location, *use.regions})), FIRST)
    # Machines come and go: theirs are last, so that a plan shows one rule more and not every rule moved by one.
    # The subnet's whole range: which address a machine gets is not known before it stands.
    rules += [
        (priority, Rule(f"ssh-to-{item.name}", "Inbound", "Tcp", item.ranges, prefix, (str(item.port),)))
        for priority, item in enumerate((item for item in use.machines if item.ranges), SSH_FIRST)
    ]
    return rules


def _inbound(use: Uses) -> Sequence[Rule]:
    """How the service reaches nodes with a public address; others call it (the same page, the public IP scenario)."""
    if not use.public_nodes:
        return []
    return [Rule("aml-to-nodes", "Inbound", "Tcp", ("AzureMachineLearning",), "VirtualNetwork", ("44224",))]


def _outbound(use: Uses, regions: Sequence[str]) -> Iterator[Rule]:
    def to(name: str, tag: str, *ports: str, protocol: str = "Tcp") -> Rule:
        return Rule(f"aml-{name}", "Outbound", protocol, ("VirtualNetwork",), tag, ports)

    yield to("sign-in", "AzureActiveDirectory", "80", "443")
    yield to("service", "AzureMachineLearning", "443", "8787", "18881")
    yield to("service-udp", "AzureMachineLearning", "5831", protocol="Udp")
    yield to("resource-manager", "AzureResourceManager", "443")
    yield to("front-door", "AzureFrontDoor.FrontEnd", "443")
    yield to("images", "MicrosoftContainerRegistry", "443")
    yield to("image-layers", "AzureFrontDoor.FirstParty", "443")
    yield to("monitor", "AzureMonitor", "443")
    # Private endpoints, and 445 for the file share (azure-docs how-to-secure-training-vnet, "Limitations").
    yield to("private-endpoints", "VirtualNetwork", "443", "445")
    for region in regions:
        # Any protocol, says how-to-secure-training-vnet of Batch.
        yield to(f"batch-{region}", f"BatchNodeManagement.{region}", "443", protocol="*")
        yield to(f"storage-{region}", f"Storage.{region}", "443")
        if use.sensitive:
            # The page's "Keyvault" is the tag AzureKeyVault (azure-docs service-tags-overview).
            yield to(f"vault-{region}", f"AzureKeyVault.{region}", "443")
