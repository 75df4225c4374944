"""What every component shares: its place in the stack, and the children's freedom from the vendor's aliases."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pulumi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Secrets: TypeAlias = "Callable[[str], pulumi.Output[str]]"
"""Finds the secret behind a config key; the result is an Output that Pulumi keeps encrypted."""


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
