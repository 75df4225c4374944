"""Runs the real components against Pulumi's mocks and records what they declare."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
import pytest
from pulumi.runtime import settings
from pulumi.runtime.mocks import MockMonitor

from components.stack import Account, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pulumi.runtime.proto import resource_pb2

    from specs.stack import StackSpec

os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "1"

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
PROVIDERS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers"
ACCOUNT = Account(subscription_id=SUBSCRIPTION, tenant_id="tenant")


@dataclass
class Declared:
    """One resource as the engine would get it."""

    type: str
    name: str
    inputs: dict[str, object]


@dataclass(frozen=True)
class Options:
    """What the engine is told of a resource beside its inputs."""

    parent: str
    """Name of the parent, "" at the top."""
    after: tuple[str, ...]
    """Names of what it waits for, by its inputs and by `depends_on`, sorted."""
    replace_on_changes: tuple[str, ...]
    delete_before_replace: bool
    replace_with: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Answers every registration as Azure would: an id made of the type and the name."""

    resources: list[Declared] = field(default_factory=list)
    options: dict[tuple[str, str], Options] = field(default_factory=dict)
    """By type and name."""
    urns: list[str] = field(default_factory=list)
    """As the engine makes them, without `urn:pulumi:STACK::trainyard::`, with which every one begins."""
    documents: Mapping[str, object] = field(default_factory=dict)
    """What other stacks export, by their whole name."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
        if args.typ == "pulumi:pulumi:StackReference":
            exported = self.documents.get(str(args.resource_id))
            outputs = {"trainyard": exported} if exported is not None else {}
            return str(args.resource_id), {"name": args.resource_id, "outputs": outputs, "secretOutputNames": []}
        self.resources.append(Declared(args.typ, args.name, args.inputs))
        outputs = {**args.inputs, "name": args.name, "principalId": f"principal-of-{args.name}"}
        if isinstance(identity := outputs.get("identity"), dict) and "userAssignedIdentities" in identity:
            ids = identity["userAssignedIdentities"]  # a list going in, a map coming out
            outputs["identity"] = {**identity, "userAssignedIdentities": {item: {} for item in ids}}
        if args.typ.endswith(":PublicIPAddress"):
            outputs["ipAddress"] = "203.0.113.9"
        if args.typ.endswith(":NetworkInterface"):
            given = args.inputs["ipConfigurations"]
            outputs["ipConfigurations"] = [{**item, "privateIPAddress": "10.20.1.4"} for item in given]
        return arm_id(args.typ.rpartition(":")[2], args.name), outputs

    def call(self, _args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, object], None]:
        return {}, None

    def of(self, type_: str) -> list[Declared]:
        """List what was declared of one type, by name."""
        return sorted((item for item in self.resources if item.type == type_), key=lambda item: item.name)


def arm_id(kind: str, name: str) -> str:
    """Make the id that a resource gets; a subnet's has its network's in front, as in Azure."""
    if kind == "Subnet":
        return f"{PROVIDERS}/VirtualNetwork/vnet/subnets/{name}"
    return f"{PROVIDERS}/{kind}/{name}"


class Monitor(MockMonitor):
    """The vendor's, and it keeps what it is told of each resource."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder
        self._types: dict[str, str] = {}
        """By the monitor's URN: the types from the top to a resource, as the engine's URNs have them."""

    def RegisterResource(  # noqa: N802 - gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        self._recorder.options[request.type, request.name] = Options(
            parent=_name(request.parent),
            after=tuple(sorted(_name(urn) for urn in request.dependencies)),
            replace_on_changes=tuple(request.replaceOnChanges),
            delete_before_replace=request.deleteBeforeReplace,
            replace_with=tuple(_name(urn) for urn in request.replace_with),
            aliases=tuple(alias.spec.name for alias in request.aliases),
        )
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type != "pulumi:pulumi:Stack":
            above = self._types.get(request.parent)
            self._types[urn] = f"{above}${request.type}" if above else request.type
            self._recorder.urns.append(f"{self._types[urn]}::{request.name}")
        answer: resource_pb2.RegisterResourceResponse = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        return answer


def _name(urn: str) -> str:
    """Return the name in a URN; that of the program's own root, which is no resource of ours, is empty."""
    return "" if "::pulumi:pulumi:Stack::" in urn else urn.rpartition("::")[2]


@dataclass
class Rendered:
    """What a stack declared and exported."""

    recorder: Recorder
    document: dict[str, object]
    document_is_secret: bool


@pytest.fixture(scope="session")
def one_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One event loop for all: Pulumi keeps what it made in the first."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def current_loop(one_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Make it the current one, as Pulumi finds it by `get_event_loop`: `asyncio.run` of another test leaves none."""
    asyncio.set_event_loop(one_loop)
    yield
    asyncio.set_event_loop(None)


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """Collect what the mocks leave behind: later, while a module is parsed, it would trip CPython 3.11 (gh-106905)."""
    yield
    gc.collect()


@pytest.fixture
def render() -> Callable[..., Rendered]:
    """Declare a stack; secrets come out as `secret:KEY` unless given; `documents` are what other stacks export."""

    def run(
        spec: StackSpec, documents: Mapping[str, object] | None = None, secrets: Mapping[str, str] | None = None
    ) -> Rendered:
        recorder = Recorder(documents=documents or {})
        settings.reset_options()
        pulumi.runtime.set_mocks(
            recorder,
            project="trainyard",
            stack="test",
            preview=False,
            monitor=Monitor(recorder),
            organization="organization",
        )
        found: list[tuple[dict[str, object], bool]] = []

        @pulumi.runtime.test
        def declare() -> pulumi.Output[None]:
            stack = Stack(
                "test", spec, ACCOUNT, lambda key: pulumi.Output.secret({**(secrets or {})}.get(key, f"secret:{key}"))
            )
            secret = pulumi.Output.from_input(stack.document.is_secret())
            both = pulumi.Output.all(stack.document, secret)
            return both.apply(lambda pair: found.append((pair[0], bool(pair[1]))))

        declare()
        ((document, secret),) = found
        return Rendered(recorder, document, secret)

    return run
