"""Kinds that others know and a stack file does not have: what they are called here, or what to take instead. Pure.

Sources: azure-docs data-lake-analytics (retired 2024-02-29), Batch AI's retirement (2019-03-31), azureml-core (its
support ended on 2026-06-30, and with it attaching AKS, HDInsight and Batch), ARM computes 2025-12-01 (`computeType`),
azure-ai-ml 1.35.2 (`type` of computes and outbound rules).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CALLED_HERE = {
    "amlcompute": ("AmlCompute", "CLI v2"),
    "computeinstance": ("ComputeInstance", "CLI v2"),
    "virtualmachine": ("VirtualMachine", "CLI v2"),
    "azurerm_machine_learning_compute_cluster": ("AmlCompute", "Terraform"),
    "azurerm_machine_learning_compute_instance": ("ComputeInstance", "Terraform"),
    "remotecompute": ("VirtualMachine", "the v1 SDK"),
    "dsvmcompute": ("VirtualMachine", "the v1 SDK"),
    "fqdn": ("FQDN", "CLI v2"),
    "private_endpoint": ("PrivateEndpoint", "CLI v2"),
    "service_tag": ("ServiceTag", "CLI v2"),
}
"""Words of other tools, in lower case, with ours and who says so."""
V1_ENDED = "was attached by the v1 SDK only, whose support ended on 2026-06-30"
DATA_LAKE = "Azure retired Data Lake Analytics on 2024-02-29. Take AmlCompute"
CONTAINERS = "container instances served models of the v1 SDK, whose support ended on 2026-06-30. Take invoke deploy"
RETIRED = {
    "datalakeanalytics": DATA_LAKE,
    "adla": DATA_LAKE,
    "batchai": "Azure retired Batch AI on 2019-03-31. Take AmlCompute",
    "batch": f"Azure Batch {V1_ENDED}. Take AmlCompute",
    "hdinsight": f"HDInsight {V1_ENDED}, and its 3.x clusters are retired. Take AmlCompute",
    "aci": CONTAINERS,
    "containerinstance": CONTAINERS,
    "aks": f"AKS {V1_ENDED}; its follower, Kubernetes, can't be declared here yet. Take AmlCompute",
}
"""Kinds that no new stack should have, by their name in lower case."""
NOT_YET = {"kubernetes", "databricks", "synapsespark", "datafactory"}
"""ARM's other compute kinds."""


def other_kind(word: str, expected: Sequence[str]) -> tuple[str, str]:
    """Say what to write for a kind that is none of the expected ones; a message and its rule."""
    low, allowed = word.lower(), f"Allowed: {', '.join(expected)}."
    ours, where = CALLED_HERE.get(low, ("", ""))
    if ours in expected:
        return f"no such kind. Here it is called {ours} ({where} says {low}).", "unknown-kind"
    lower = {name.lower(): name for name in expected}
    if "AmlCompute" in expected and low not in lower:
        if low in RETIRED:
            return f"{RETIRED[low]}. {allowed}", "retired-kind"
        if low in NOT_YET:
            return f"is a kind of Azure's that can't be declared here yet. {allowed}", "unknown-kind"
        if low == "local":
            message = "this machine is always there, as the target local. Delete this; its settings stand under local."
            return message, "unknown-kind"
    near = [lower[match] for match in difflib.get_close_matches(low, lower, 1)]
    return f"no such kind. {allowed}{f' Did you mean {near[0]}?' if near else ''}", "unknown-kind"
