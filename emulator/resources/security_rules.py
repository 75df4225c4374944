"""What a rule of a network security group may say (SecurityRulePropertiesFormat, api-version 2024-05-01).

Codes and words as users saw them: Azure/azure-cli#23499 and Azure/azure-powershell#4557. Service tags: azure-docs
service-tags-overview, those that a network of machines for training may name.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

from emulator import ml
from emulator.constants import LOCATIONS
from emulator.resources.base import choice, invalid, required
from emulator.routing import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.resources.base import Document
    from emulator.routing import Json

PRIORITIES = (100, 4096)
HIGHEST_PORT = 65535
LONGEST_DESCRIPTION = 140
GLOBAL_TAGS = (
    "VirtualNetwork",
    "AzureLoadBalancer",
    "Internet",
    "AzureActiveDirectory",
    "AzureArcInfrastructure",
    "AzureFrontDoor.Backend",
    "AzureFrontDoor.FirstParty",
    "AzureFrontDoor.Frontend",
    "AzureMachineLearning",
    "AzureMachineLearningInference",
    "AzureResourceManager",
    "GatewayManager",
    "GuestAndHybridManagement",
    "AzureUpdateDelivery",
)
REGIONAL_TAGS = (
    "AzureCloud",
    "AzureContainerRegistry",
    "AzureCosmosDB",
    "AzureDatabricks",
    "AzureDevOps",
    "AzureKeyVault",
    "AzureMonitor",
    "BatchNodeManagement",
    "DataFactory",
    "EventHub",
    "HDInsight",
    "MicrosoftContainerRegistry",
    "PowerBI",
    "ServiceBus",
    "Sql",
    "Storage",
    "Synapse",
)
_GLOBAL = {tag.lower() for tag in (*GLOBAL_TAGS, *REGIONAL_TAGS)}
_REGIONAL = {f"{tag}.{place}".lower() for tag in REGIONAL_TAGS for place in LOCATIONS}


def check(rules: Iterable[Document]) -> None:
    """Check the rules of one group, alone and together. Raises `Refusal` 400."""
    known: dict[tuple[Json, Json], Json] = {}
    names: set[str] = set()
    for rule in rules:
        properties = ml.obj(rule.get("properties"))
        _check_one(rule, properties)
        name, key = ml.text(rule.get("name")), (properties["priority"], properties["direction"])
        if key in known:
            message = (
                f"Security rule {name} conflicts with rule {known[key]}. Rules cannot have the same Priority and "
                "Direction."
            )
            raise Refusal(400, "SecurityRuleConflict", message)
        if name.lower() in names:  # the code is ours
            raise Refusal(400, "DuplicateResourceName", f"Security rules can't share the name '{name}'.")
        known[key] = name
        names.add(name.lower())


def _check_one(rule: Document, properties: Document) -> None:
    name = ml.text(rule.get("name"))
    required(rule, "name")
    required(properties, "access", "direction", "protocol", "priority")
    choice(properties["access"], "access", ("Allow", "Deny"))
    choice(properties["direction"], "direction", ("Inbound", "Outbound"))
    choice(properties["protocol"], "protocol", ("Tcp", "Udp", "Icmp", "Esp", "Ah", "*"))
    priority = properties["priority"]
    if not isinstance(priority, int) or not PRIORITIES[0] <= priority <= PRIORITIES[1]:
        raise invalid(f"The priority of rule '{name}' must be between 100 and 4096; got {priority}.")
    if len(ml.text(properties.get("description"))) > LONGEST_DESCRIPTION:
        raise invalid(f"The description of rule '{name}' may have {LONGEST_DESCRIPTION} characters at most.")
    for end in ("source", "destination"):
        for prefix in _values(properties, f"{end}AddressPrefix", f"{end}AddressPrefixes"):
            _address(prefix)
        for ports in _values(properties, f"{end}PortRange", f"{end}PortRanges"):
            _ports(ports)


def _values(properties: Document, one: str, many: str) -> list[Json]:
    """Return what is given under a name or its plural. Raises `Refusal` 400 unless it is one of the two."""
    single, several = properties.get(one), ml.items(properties.get(many))
    if (single in (None, "")) == (not several):
        raise invalid(f"A security rule needs exactly one of '{one}' and '{many}'.")
    return several or [single]


def _address(value: Json) -> None:
    text = ml.text(value)
    if text == "*" or text.lower() in _GLOBAL or text.lower() in _REGIONAL:
        return
    try:
        ip_network(text)
    except ValueError as error:
        message = f"Security rule has invalid Address prefix. Value provided: {value}"
        raise Refusal(400, "SecurityRuleInvalidAddressPrefix", message) from error


def _ports(value: Json) -> None:
    text = ml.text(value)
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if text == "*" or (found and int(found[1]) <= int(found[2] or found[1]) <= HIGHEST_PORT):
        return
    message = (
        f"Security rule has invalid Port range. Value provided: {value}. Value should be an integer OR integer range "
        f"with '-' delimiter. Valid range 0-{HIGHEST_PORT}."
    )
    raise Refusal(400, "SecurityRuleInvalidPortRange", message)
