"""What does not hold, with its reason: the tests fail when one is missing and when one is no longer needed."""

from __future__ import annotations

from tests.security import machine_learning, parts
from tests.security.rules import POLICY
from tests.security.stacks import REGISTRY, STORE

RULES = (*machine_learning.RULES, *parts.RULES)

EXCEPTIONS = {
    "ba769a63": "A customer's key lies in the owner's own vault, so it can't be shipped. Give `encryption`.",
    "7f40cee6": "A customer's key lies in the owner's own vault, so it can't be shipped. Give `encryption`.",
    "6fac406b": "The storage account made here has Microsoft's key. Give your own by `storage_account`, with your key.",
    "e413671a": "Contradicts v2: with `v1_legacy_mode: true` no v2 job works, and every job here is one.",
    "6ddb1705": "Nodes stand in a network of our own; with a managed one they would break 7804b5c7 and AZR-000405.",
    "CKV_AZURE_243": (
        "Looks for an outbound rule in the body of a managed network. The workspace has a private endpoint, in a "
        "network of our own; and outbound rules, where there are some, are resources of their own."
    ),
    "afe0c3be": "No diagnostic setting is made yet: the owner makes one, or lets f59276f0 make it.",
    "f59276f0": "No diagnostic setting is made yet; assigned, this policy makes it.",
    "CKV_AZURE_206": (
        "One region, three copies. Copies in a second region cost twice and leave the region: the owner's decision, "
        "by an own `storage_account`."
    ),
    "CKV_AZURE_166": "Quarantine hides an image that the service built until somebody lets it out; no job would start.",
    "CKV_AZURE_233": (
        "The property says nothing any more: registries are zone-redundant in every region that has zones "
        "(azure-docs container-registry, zone-redundancy)."
    ),
    "AZR-000405": "A machine is attached by its address; ARM has no `subnet` for it. Its own interface is in one.",
    "CKV_AZURE_50": "Azure's monitoring, update and Defender agents come as extensions: the owner's decision.",
    "CKV_AZURE_97": "Needs the feature EncryptionAtHost registered in the subscription, or the machine is refused.",
}
"""By rule: why it does not hold on `stacks/prod.yaml`, or on a kind that the stack does not have."""

EXCEPTED = {
    "ba769a63": ["research"],
    "7f40cee6": ["research"],
    "6fac406b": [STORE],
    "e413671a": ["research"],
    "6ddb1705": ["research"],
    "CKV_AZURE_243": ["research"],
    "afe0c3be": ["research"],
    "f59276f0": ["research"],
    "CKV_AZURE_206": [STORE],
    "CKV_AZURE_166": [REGISTRY],
    "CKV_AZURE_233": [REGISTRY],
}
"""By rule: the resources of `stacks/prod.yaml` that break it."""
EXCEPTED_KINDS = {"AZR-000405": ["research/gpu-box"], "CKV_AZURE_50": ["gpu-box"], "CKV_AZURE_97": ["gpu-box"]}
"""The same of the kinds that are added to it in the tests."""

LACKING = {
    *("679ddf89", "f110a506", "AZR-000403"),
    *("CKV_AZURE_1", "CKV_AZURE_149", "CKV_AZURE_178", "CKV_AZURE_50", "CKV_AZURE_97"),
}
"""The rules that look at nothing on `stacks/prod.yaml`, which has neither instance nor machine."""

OF_DEPLOYMENTS = "About a deployed model; endpoints in Azure are declared by a later issue."
OF_JOBS = (
    "Checked by the service on each job's own settings (mode Microsoft.MachineLearningServices.Data), not on a compute."
)
NOT_HERE = {
    "12e5dd16": OF_DEPLOYMENTS,
    "19539b54": OF_DEPLOYMENTS,
    "5853517a": OF_JOBS,
    "1d413020": OF_JOBS,
    "53c70b02": OF_JOBS,
    "77eeea86": OF_JOBS,
    "6a6f7384": OF_JOBS,
    "3948394e": OF_JOBS,
}
"""The policies of the category that look at nothing that a stack declares."""


def policies() -> set[str]:
    """Name all of Azure Policy's category Machine Learning, 26 of them, that are here."""
    return {rule.id for rule in machine_learning.RULES if rule.source == POLICY} | set(NOT_HERE)
