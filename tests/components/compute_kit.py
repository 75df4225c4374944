"""Declares one compute by itself against Pulumi's mocks, and records its children with their options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime import settings

from components import compute
from components.base import ComputeDependencies, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from specs.compute import ComputeSpec

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
COMPUTE = "azure-native:machinelearningservices:Compute"
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGd1bGxpdmVyZ3VsbGl2ZXJndWxsaXZlcmd1bGxpdmU= ada@laptop"


@dataclass
class Cloud(pulumi.runtime.Mocks):
    """Answers as Azure would; a network interface gets an address."""

    inputs: dict[str, tuple[str, dict[str, object]]] = field(default_factory=dict)
    """By resource name: the type and what it was given."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
        if args.typ.startswith("azure-native:"):
            self.inputs[args.name] = (args.typ, args.inputs)
        outputs = dict(args.inputs)
        if isinstance(identity := outputs.get("identity"), dict) and "userAssignedIdentities" in identity:
            ids = identity["userAssignedIdentities"]  # a list going in, a map coming out
            outputs["identity"] = {**identity, "userAssignedIdentities": {item: {} for item in ids}}
        if args.typ.endswith(":NetworkInterface"):
            outputs["ipConfigurations"] = [
                {**item, "privateIPAddress": "10.20.1.4"} for item in args.inputs["ipConfigurations"]
            ]
        if args.typ.endswith(":PublicIPAddress"):
            outputs["ipAddress"] = "203.0.113.9"
        return f"/subscriptions/{SUBSCRIPTION}/{args.typ.rpartition(':')[2]}/{args.name}", outputs

    def call(self, _args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, object], None]:
        return {}, None


@dataclass
class Made:
    """One compute and its children."""

    inputs: dict[str, tuple[str, dict[str, object]]]
    options: dict[str, pulumi.ResourceOptions]
    id: str
    address: str | None
    address_is_secret: bool

    def types(self) -> list[tuple[str, str]]:
        """List the vendor's resources: type without its package, name."""
        return sorted((kind.removeprefix("azure-native:"), name) for name, (kind, _) in self.inputs.items())

    def of(self, name: str) -> dict[str, object]:
        """Return what one resource was given."""
        return self.inputs[name][1]


def declare(name: str, spec: ComputeSpec, *, private: bool = False, secrets: Mapping[str, str] | None = None) -> Made:
    """Declare one compute in the workspace `research`."""
    cloud, options, found = Cloud(), dict[str, pulumi.ResourceOptions](), list[tuple[str, str | None, bool]]()
    settings.reset_options()
    pulumi.runtime.set_mocks(cloud, project="trainyard", stack="test", preview=False)

    def record(args: pulumi.ResourceTransformationArgs) -> None:
        options[args.name] = args.opts

    @pulumi.runtime.test
    def run() -> pulumi.Output[None]:
        place = Place(resource_group="trainyard", location="westeurope", tags={"owner": "ada"}, scope="s")
        dependencies = ComputeDependencies(
            workspace_name="research",
            resource_group="research-group",
            workspace_key="research",
            location="northeurope",
            private=private,
            identities={"training": "/subscriptions/s/training"},
            subnet_ids={"nodes": "/subscriptions/s/nodes"},
            secrets=lambda key: pulumi.Output.secret((secrets or {}).get(key, f"secret:{key}")),
        )
        made = compute.declare(name, spec, place, dependencies, pulumi.ResourceOptions(transformations=[record]))
        address = made.address if made.address is not None else pulumi.Output.from_input(None)
        hidden = pulumi.Output.from_input(address.is_secret())
        return pulumi.Output.all(made.id, address, hidden).apply(lambda all_: found.append((all_[0], all_[1], all_[2])))

    run()
    ((id_, address, hidden),) = found
    return Made(cloud.inputs, options, id_, address, hidden)
