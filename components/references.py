"""What a stack uses of other stacks and of workspaces that others own: names turned into ARM ids.

Another stack of the same backend is known by the document that it exports (`specs.outputs.StackOutputs`), nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pulumi

from specs.references import references

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.base import Account
    from specs.stack import StackSpec

SECTIONS = {"subnet": "subnets", "identity": "identities", "workspace": "workspaces"}
"""Where each kind of thing stands in a stack's document."""
Facts: TypeAlias = "dict[str, dict[str, str]]"
"""By `NAME@STACK` under its kind, e.g. `subnet:training@platform`."""


@dataclass(frozen=True, slots=True)
class ExistingWorkspace:
    """A workspace that the stack adds computes to."""

    id: pulumi.Input[str]
    name: pulumi.Input[str]
    resource_group: pulumi.Input[str]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Everything that a stack uses and no part of it makes, by the names that its file uses."""

    subnet_ids: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    identity_ids: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    principals: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Whom roles are given to, by identity."""
    workspaces: Mapping[str, ExistingWorkspace] = field(default_factory=dict)
    """By their name here."""


def elsewhere(spec: StackSpec, account: Account, opts: pulumi.ResourceOptions) -> Elsewhere:
    """Refer to the other stacks that a stack file names, and take from them what it uses."""
    wanted = sorted({(kind, name) for kind, _, name in references(spec) if "@" in name and not name.startswith("/")})
    known: dict[str, pulumi.Output[Facts]] = {}
    for stack in spec.other_stacks():
        there = [(kind, name.rpartition("@")[0]) for kind, name in wanted if name.endswith(f"@{stack}")]
        reference = pulumi.StackReference(stack, qualified(stack), opts)
        take = partial(look_up, stack=stack, wanted=there, cloud=spec.cloud, account=account)
        known[stack] = reference.get_output("trainyard").apply(take)

    def fact(kind: str, name: str, what: str) -> pulumi.Output[str]:
        return known[name.rpartition("@")[2]].apply(partial(_fact, key=f"{kind}:{name}", what=what))

    identities = [name for kind, name in wanted if kind == "identity"]
    return Elsewhere(
        subnet_ids={name: fact("subnet", name, "id") for kind, name in wanted if kind == "subnet"},
        identity_ids={name: fact("identity", name, "id") for name in identities},
        principals={name: fact("identity", name, "principal_id") for name in identities},
        workspaces={
            key: _existing(item.workspace, account)
            if item.workspace.startswith("/")
            else ExistingWorkspace(
                **{what: fact("workspace", item.workspace, what) for what in ("id", "name", "resource_group")}
            )
            for key, item in spec.existing_workspaces.items()
        },
    )


def qualified(stack: str) -> str:
    """Name another stack of this project as the backend knows it."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"


def _fact(facts: Facts, key: str, what: str) -> str:
    return facts[key][what]


def look_up(document: object, stack: str, wanted: Sequence[tuple[str, str]], cloud: str, account: Account) -> Facts:
    """Find what is wanted in another stack's document. Pure.

    Raises:
        pulumi.RunError: something is not there, or can't be used from here; one message for all of it.

    """
    if not isinstance(document, dict):
        raise pulumi.RunError(f"stack {stack} is not up, so nothing of it can be used. Type: invoke up --stack {stack}")
    if document.get("cloud") != cloud:
        raise pulumi.RunError(
            f"stack {stack} is in {document.get('cloud')}, this one in {cloud}: neither can use what the other has."
        )
    faults: list[str] = []
    found: Facts = {}
    for kind, name in wanted:
        section = document.get(SECTIONS[kind]) or {}
        if name not in section:
            faults.append(f"stack {stack} has no {kind} {name}. It has: {', '.join(sorted(section)) or 'none'}.")
            continue
        facts = {"id": section[name]} if isinstance(section[name], str) else {**section[name]}
        if kind == "workspace":
            group, _ = parse_workspace(facts["id"], account)
            facts["resource_group"] = group
        found[f"{kind}:{name}@{stack}"] = {what: str(value) for what, value in facts.items()}
    if faults:
        raise pulumi.RunError("\n".join(faults))
    return found


def _existing(arm_id: str, account: Account) -> ExistingWorkspace:
    group, name = parse_workspace(arm_id, account)
    return ExistingWorkspace(id=arm_id, name=name, resource_group=group)


def parse_workspace(arm_id: str, account: Account) -> tuple[str, str]:
    """Return a workspace's resource group and name. Pure.

    Raises:
        pulumi.RunError: it lies where this stack can't put a compute.

    """
    _, subscription, _, group, *_, name = arm_id.strip("/").split("/")
    if subscription.lower() != account.subscription_id.lower():
        raise pulumi.RunError(
            f"workspace {name} lies in subscription {subscription}, this stack in {account.subscription_id}: a compute "
            "is made in its workspace's subscription. Declare it in a stack of that subscription."
        )
    return group, name
