"""What every component shares: its place in the stack, what it uses of others, freedom from the vendor's aliases."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pulumi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from specs.base import Identity

Secrets: TypeAlias = "Callable[[str], pulumi.Output[str]]"
"""Finds the secret behind a config key; the result is an Output that Pulumi keeps encrypted."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who deploys, and where to."""

    subscription_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a component's resources go and what they all carry."""

    resource_group: pulumi.Input[str]
    location: str
    tags: Mapping[str, str]
    scope: str
    """Subscription and resource group, for names that must be unique in all of Azure."""

    def tagged(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Merge a resource's own tags over the stack's."""
        return {**self.tags, **tags}


@dataclass(frozen=True, slots=True)
class Declared:
    """What is known of a declared compute."""

    id: pulumi.Output[str]
    """ARM id."""
    address: pulumi.Output[str] | None = None
    """Where its SSH server is, of a machine that the stack makes; None: its spec says it."""


@dataclass(frozen=True, slots=True)
class ComputeDependencies:
    """What a compute uses and does not own."""

    workspace_name: pulumi.Input[str]
    resource_group: pulumi.Input[str]
    """The workspace's, which is another than the stack's where the workspace exists already."""
    workspace_key: str
    location: str
    """The workspace's region."""
    private: bool
    """Whether the workspace is closed to the public network."""
    identities: Mapping[str, pulumi.Input[str]]
    """ARM ids by the names that specs use, `NAME@STACK` ones too."""
    subnet_ids: Mapping[str, pulumi.Input[str]]
    """ARM ids by the names that specs use, `NAME@STACK` ones too."""
    secrets: Secrets
    after: Sequence[pulumi.Resource] = ()
    """What must stand before the compute is made: every compute has it in `depends_on`."""

    def subnet_id(self, name: str) -> pulumi.Input[str]:
        """Resolve a subnet as a spec names it."""
        return resolve(name, self.subnet_ids)

    def identity_ids(self, identity: Identity) -> list[pulumi.Input[str]]:
        """Resolve the identities that a spec names."""
        return [resolve(name, self.identities) for name in identity.user_assigned_identities]


def resolve(name: str, known: Mapping[str, pulumi.Input[str]]) -> pulumi.Input[str]:
    """Return the ARM id behind a reference of a spec; an ARM id is its own."""
    return name if name.startswith("/") else known[name]


def drop_vendor_aliases(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Drop the some 50 aliases that pulumi-azure-native adds to a resource (ADR 2).

    They serve states written by the versioned types of its version 1; ours never were. Registering them takes most
    of a large preview's time.
    """
    if not args.type_.startswith("azure-native:") or not args.opts.aliases:
        return None
    args.opts.aliases = [alias for alias in args.opts.aliases if not _is_vendors(alias)]
    return pulumi.ResourceTransformationResult(args.props, args.opts)


def _is_vendors(alias: object) -> bool:
    return isinstance(alias, pulumi.Alias) and isinstance(alias.type_, str) and alias.type_.startswith("azure-native:")


class Component(pulumi.ComponentResource):
    """A component whose children carry no vendor aliases."""

    def __init__(self, kind: str, name: str, opts: pulumi.ResourceOptions | None) -> None:
        own = pulumi.ResourceOptions(transformations=[drop_vendor_aliases])
        super().__init__(f"trainyard:index:{kind}", name, {}, pulumi.ResourceOptions.merge(opts, own))


def unique_name(prefix: str, name: str, scope: str, length: int) -> str:
    """Make a name of lower-case letters and digits that is the same at every run and unlike anybody else's.

    Ends in 8 hexadecimal digits of SHA-256 over scope and name; at most `length` characters.
    """
    digest = hashlib.sha256(f"{scope}/{name}".lower().encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]", "", name.lower())
    return prefix + readable[: length - len(prefix) - len(digest)] + digest
