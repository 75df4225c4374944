"""`invoke export`: the resources that a stack's program asks for, as an ARM template.

The program's components run here against a recorder, as tests run them: no engine, no network, no cloud, no secret.
So what only Azure knows is an expression or a parameter, and the names that depend on the subscription differ.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pulumi
from google.protobuf import json_format
from pulumi.output import UNKNOWN
from pulumi.runtime import mocks, rpc, settings

from components.stack import Account, Stack
from console.arm_template import Planned, Standins, own_id, template
from emulator.provider import table, wire
from specs.problems import TrainyardError
from specs.references import references

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pulumi.runtime.proto import resource_pb2

    from emulator.provider.table import ResourceType
    from emulator.routing import Json
    from specs.stack import StackSpec

SUBSCRIPTION = "5ca1ab1e-0000-4000-8000-000000000001"
TENANT = "5ca1ab1e-0000-4000-8000-000000000002"
"""Stand-ins: in the template they are what ARM knows of the place that it deploys to."""
NAMESPACE = uuid.UUID("5ca1ab1e-0000-4000-8000-000000000003")
ABOUT = (
    "What the stack {stack} asks for, to be read by scanners. Not what `up` sends: names that depend on the "
    "subscription (storage account, registry, key vault) differ, and the resource group is deployed into, not made."
)


class ExportError(TrainyardError):
    """The stack can't be written as a template; the message says why."""

    exit_code = 2


@dataclass
class Recorder(mocks.Mocks):
    """Answers what Azure would, as far as the components ask: ids, names, principals, addresses."""

    subscription: str
    group: str
    documents: Mapping[str, dict[str, Json]]
    """What other stacks export, by their name."""
    standins: Standins
    planned: list[Planned] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    """ARM ids by URN."""
    requests: dict[tuple[str, str], resource_pb2.RegisterResourceRequest] = field(default_factory=dict)
    """By type and name: what the engine would get, in which secrets still are marked."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
        """Record a resource; answer with its id and outputs."""
        if args.typ == "pulumi:pulumi:StackReference":
            document = self.documents[args.name]
            return args.name, {"name": args.name, "outputs": {"trainyard": document}, "secretOutputNames": []}
        if not args.typ.startswith("azure-native:"):
            return "", {}
        row = table.load().types.get(args.typ)
        if row is None:
            raise ExportError(f"no ARM type is known here for {args.typ}, so the stack can't be written as a template.")
        request = self.requests[args.typ, args.name]
        inputs = self._inputs(args.name, request)
        last = row.parameters[-1]
        # The vendor's plug-in adds eight random characters; here they follow from the name, so that nothing flickers.
        inputs.setdefault(last, f"{args.name}{hashlib.sha256(args.name.encode()).hexdigest()[:8]}")
        arm_id = wire.resource_path(row.path, self.subscription, inputs)
        expression = own_id(arm_id, self.home)
        if expression:
            self.standins.expressions[arm_id] = expression
        after = tuple(self.ids[urn] for urn in request.dependencies if urn in self.ids)
        self.planned.append(Planned(row, inputs, arm_id, after))
        return arm_id, {**args.inputs, "name": inputs[last], **self._answers(expression or f"'{arm_id}'", row, inputs)}

    @property
    def home(self) -> str:
        """ARM id of the stack's group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def call(self, _args: mocks.MockCallArgs) -> tuple[dict[str, object], None]:
        """Answer nothing: the components call no function."""
        return {}, None

    def stand_in(self, what: str, expression: str) -> str:
        """Return a text, always the same, that becomes an expression in the template."""
        text = str(uuid.uuid5(NAMESPACE, what))
        self.standins.expressions[text] = expression
        return text

    def _inputs(self, name: str, request: resource_pb2.RegisterResourceRequest) -> dict[str, Json]:
        found = self._plain(name, "", json_format.MessageToDict(request.object))
        if not isinstance(found, dict):
            raise TypeError(f"the inputs of {name} are no object")
        return found

    def _plain(self, name: str, key: str, value: Json) -> Json:
        """Turn the engine's form of an input into JSON; a secret, whose value nobody knows here, into a parameter."""
        if isinstance(value, dict):
            if value.get(rpc._special_sig_key) == rpc._special_secret_sig:  # noqa: SLF001 - the protocol's own constants
                return self.stand_in(f"{name}/{key}", self.standins.parameter(f"{name}_{key}", "secureString"))
            return {below: self._plain(name, below, item) for below, item in sorted(value.items())}
        if isinstance(value, list):
            return [self._plain(name, key, item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def _answers(self, itself: str, row: ResourceType, inputs: dict[str, Json]) -> dict[str, object]:
        """Say what Azure would add to a resource, where a component uses it; `itself`: the expression for its id."""
        reference = f"reference({itself}, '{row.api_version}')"

        def fact(path: str) -> str:
            return self.stand_in(f"{itself}/{path}", f"{reference}.{path}")

        match row.token.rpartition(":")[2], inputs:
            case "UserAssignedIdentity", _:
                return {"principalId": fact("principalId")}
            case "PublicIPAddress", _:
                return {"ipAddress": fact("ipAddress")}
            case "NetworkInterface", {"ipConfigurations": [dict() as first, *_]}:
                address = fact("ipConfigurations[0].properties.privateIPAddress")
                return {"ipConfigurations": [{**first, "privateIPAddress": address}]}
        identity = inputs.get("identity")
        if isinstance(identity, dict) and isinstance(ids := identity.get("userAssignedIdentities"), list):
            # A list going in, a map coming out.
            return {"identity": {**identity, "userAssignedIdentities": {str(item): {} for item in ids}}}
        return {}


class Monitor(mocks.MockMonitor):
    """The vendor's, which has no types; it hands on the request itself and what came of it."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder

    def RegisterResource(  # noqa: N802 - gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """Answer a registration."""
        self._recorder.requests[request.type, request.name] = request
        response: resource_pb2.RegisterResourceResponse
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call] # as above
        if request.type.startswith("azure-native:"):
            self._recorder.ids[response.urn] = response.id
        return response


def exported(stack: str, spec: StackSpec) -> dict[str, Json]:
    """Write a stack as an ARM template for its resource group.

    Raises:
        ExportError: a component refuses the stack, or makes what has no ARM type here.

    """
    standins = Standins()
    subscription = _subscription(spec)
    if subscription == SUBSCRIPTION:
        standins.expressions[SUBSCRIPTION] = "subscription().subscriptionId"
    standins.expressions[TENANT] = "subscription().tenantId"
    recorder = Recorder(subscription, spec.resource_group, _documents(spec, subscription, standins), standins)
    # In a thread of its own: the recorder's settings and event loop are the SDK's, kept by thread.
    with ThreadPoolExecutor(1) as alone:
        alone.submit(_declare, stack, spec, recorder).result()
    planned = sorted(recorder.planned, key=lambda item: (item.row.token, item.id))
    return template(planned, standins, spec.resource_group, ABOUT.format(stack=stack))


def _subscription(spec: StackSpec) -> str:
    """Return the subscription that the stack's own file names, if it does: computes are made where workspaces are."""
    named = [item.workspace for item in spec.existing_workspaces.values() if item.workspace.startswith("/")]
    return named[0].split("/")[2] if named else SUBSCRIPTION


def _documents(spec: StackSpec, subscription: str, standins: Standins) -> dict[str, dict[str, Json]]:
    """Make up what other stacks export, as far as this one uses it; each fact is a parameter of the template."""

    def parameter(*words: str) -> str:
        text = str(uuid.uuid5(NAMESPACE, "/".join(words)))
        standins.expressions[text] = standins.parameter("_".join(words), "string")
        return text

    found: dict[str, dict[str, Json]] = {name: {"cloud": spec.cloud} for name in spec.other_stacks()}
    for kind, _, full in references(spec):
        name, _, stack = full.rpartition("@")
        if full.startswith("/") or not name:
            continue
        section, value = _fact(kind, name, stack, subscription, parameter)
        known = found[stack].setdefault(section, {})
        if isinstance(known, dict):
            known[name] = value
    return found


def _fact(kind: str, name: str, stack: str, subscription: str, parameter: Callable[..., str]) -> tuple[str, Json]:
    match kind:
        case "subnet":
            return "subnets", parameter(stack, "subnet", name)
        case "identity":
            who = parameter(stack, "identity", name, "principal")
            return "identities", {"id": parameter(stack, "identity", name), "principal_id": who}
    above = f"/subscriptions/{subscription}/resourceGroups/{parameter(stack, 'resource_group')}"
    # A workspace's name in Azure is its name in the file (components/workspace.py).
    workspace = f"{above}/providers/Microsoft.MachineLearningServices/workspaces/{name}"
    return "workspaces", {"id": workspace, "name": name}


def _unknown(_key: str) -> pulumi.Output[str]:
    """Answer for a secret that nobody needs to know here; what is made of it stays marked."""
    unknown: pulumi.Output[str] = pulumi.Output.secret(cast("str", UNKNOWN))
    return unknown


def _declare(stack: str, spec: StackSpec, recorder: Recorder) -> None:
    """Run the components against a recorder, as a preview in which no secret is known."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    quiet = logging.getLogger("trainyard.export")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    settings.reset_options()
    mocks.set_mocks(
        recorder, project="trainyard", stack=stack, preview=True, logger=quiet, monitor=Monitor(recorder),
        organization="organization",
    )  # fmt: skip
    account = Account(subscription_id=recorder.subscription, tenant_id=TENANT)

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the vendor's has no types
    def declare() -> pulumi.Output[dict[str, object]]:
        return Stack(stack, spec, account, _unknown).document

    try:
        declare()
    except pulumi.RunError as error:
        raise ExportError(str(error)) from None
    finally:
        loop.close()
