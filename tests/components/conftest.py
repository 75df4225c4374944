"""Runs the real components against Pulumi's mocks and records what they declare."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
import pytest
from pulumi.runtime import settings

from components.stack import Account, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from specs.stack import StackSpec

os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "1"

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
ACCOUNT = Account(subscription_id=SUBSCRIPTION, tenant_id="tenant")


@dataclass
class Declared:
    """One resource as the engine would get it."""

    type: str
    name: str
    inputs: dict[str, object]


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Answers every registration as Azure would: an id made of the type and the name."""

    resources: list[Declared] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
        self.resources.append(Declared(args.typ, args.name, args.inputs))
        outputs = {**args.inputs, "name": args.name, "principalId": f"principal-of-{args.name}"}
        if isinstance(identity := outputs.get("identity"), dict) and "userAssignedIdentities" in identity:
            ids = identity["userAssignedIdentities"]  # a list going in, a map coming out
            outputs["identity"] = {**identity, "userAssignedIdentities": {item: {} for item in ids}}
        return f"/subscriptions/{SUBSCRIPTION}/{args.typ.rpartition(':')[2]}/{args.name}", outputs

    def call(self, _args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, object], None]:
        return {}, None

    def of(self, type_: str) -> list[Declared]:
        """List what was declared of one type, by name."""
        return sorted((item for item in self.resources if item.type == type_), key=lambda item: item.name)


@dataclass
class Rendered:
    """What a stack declared and exported."""

    recorder: Recorder
    document: dict[str, object]
    document_is_secret: bool


@pytest.fixture(scope="session", autouse=True)
def loop() -> Iterator[None]:
    """One event loop for all: Pulumi finds it by `get_event_loop`."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def render() -> Callable[[StackSpec], Rendered]:
    """Declare a stack; secrets come out as `secret:KEY`."""

    def run(spec: StackSpec) -> Rendered:
        recorder = Recorder()
        settings.reset_options()
        pulumi.runtime.set_mocks(recorder, project="trainyard", stack="test", preview=False)
        found: list[tuple[dict[str, object], bool]] = []

        @pulumi.runtime.test
        def declare() -> pulumi.Output[None]:
            stack = Stack("test", spec, ACCOUNT, lambda key: pulumi.Output.secret(f"secret:{key}"))
            secret = pulumi.Output.from_input(stack.document.is_secret())
            both = pulumi.Output.all(stack.document, secret)
            return both.apply(lambda pair: found.append((pair[0], bool(pair[1]))))

        declare()
        ((document, secret),) = found
        return Rendered(recorder, document, secret)

    return run
