"""Pulumi's ResourceProvider service: protobuf in, protobuf out; everything it means is elsewhere.

One process serves many engines at once. What Configure said is kept by the connection (gRPC's peer), so that two
engines with different settings don't disturb each other. Property values are never logged.
"""

# ruff: noqa: N802, ARG002 - the names and the signatures are the protocol's

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Never, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from emulator.provider import functions, table, wire
from emulator.provider.arm_client import ArmClient, ArmError, Call, GoneError
from emulator.provider.check import Naming
from emulator.provider.diff import Change, compare, delete_first
from emulator.provider.engine_calls import PartialError, Session
from emulator.provider.schema import schema
from emulator.provider.settings import RefusedError, Settings, configure
from emulator.provider.transport import Https
from emulator.provider.values import from_struct, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from google.protobuf import struct_pb2

    from emulator.provider.arm_client import Transport
    from emulator.provider.check import Mode
    from emulator.routing import Json

VERSION = "3.29.0"
"""The version of pulumi-azure-native whose behaviour this is."""
SESSIONS = 1024
"""More connections than engines that one machine could run; the oldest are forgotten first."""
TIMEOUT_S = 7200.0
"""The vendor's default for an operation (provider.go, azureContext)."""

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def answers_errors(
    method: Callable[[Provider, Request, grpc.ServicerContext], Answer],
) -> Callable[[Provider, Request, grpc.ServicerContext], Answer]:
    """Turn our errors into gRPC statuses with the vendor's texts; a traceback never reaches the engine."""

    @functools.wraps(method)
    def wrapped(self: Provider, request: Request, context: grpc.ServicerContext) -> Answer:
        try:
            return method(self, request, context)
        except RefusedError as error:
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except functions.UnknownFunctionError as error:
            _abort(context, grpc.StatusCode.UNIMPLEMENTED, str(error))
        except GoneError:
            _abort(context, grpc.StatusCode.CANCELLED, "the engine is gone")
        except (ArmError, ValueError) as error:
            _abort(context, grpc.StatusCode.UNKNOWN, str(error))

    return wrapped


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service. `transport` makes the way to a cloud out of the name of its CA file."""

    def __init__(self, home: Path, transport: Callable[[str], Transport] = Https) -> None:
        self._home, self._transport = home, transport
        self._table = table.load()
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._clients: dict[Settings, ArmClient] = {}

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Say what we take; must agree with Configure."""
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Take note of an engine; nothing is kept of it before Configure."""
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """Say whose behaviour this is."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Do nothing: several engines share this process, and each call ends by itself when its engine is gone."""
        return empty_pb2.Empty()

    def GetMapping(
        self, request: provider_pb2.GetMappingRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetMappingResponse:
        """Answer that there is none, as the vendor."""
        return provider_pb2.GetMappingResponse()

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """Describe the types of the table; Python programs never ask."""
        return provider_pb2.GetSchemaResponse(schema=schema(table.load(), VERSION))

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Return the configuration unchanged, as the vendor."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """Never replace a provider, as the vendor."""
        return provider_pb2.DiffResponse()

    @answers_errors
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Remember one engine's settings; the interlock is here.

        `acceptSecrets` is false: the engine then keeps every secret input wrapped in its state, also after a refresh.
        """
        if not (request.sends_old_inputs and request.sends_old_inputs_to_delete):
            raise RefusedError("Azure Native provider requires Pulumi CLI v3.74.0 or later")
        settings = configure(request.variables, self._home)
        key = replace(settings, location=None)
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = ArmClient(settings, self._transport(settings.ca_file))
            self._sessions[context.peer()] = Session(settings, client)
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, supports_autonaming_configuration=True
        )

    @answers_errors
    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        """Call one of the SDK's functions."""
        session = self._session(context)
        values = functions.invoke(self._table, session, request.tok, from_struct(request.args), _call(context))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(values))  # its name is a keyword here
        return response

    @answers_errors
    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        """Fill in defaults and validate."""
        row = self._row(request.urn, context)
        inputs, failures = self._session(context).check(
            row, from_struct(request.olds), from_struct(request.news), _naming(request)
        )
        return provider_pb2.CheckResponse(
            inputs=to_struct(inputs), failures=[provider_pb2.CheckFailure(reason=reason) for reason in failures]
        )

    @answers_errors
    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """Compare inputs with inputs.

        No top-level `diffs` are sent: with them, or with DIFF_SOME alone, the engine turns a `replace_on_changes` on a
        member into an update without a word.
        """
        row = self._row(request.urn, context)
        old = from_struct(request.old_inputs)
        changes = compare(row, old, from_struct(request.news), from_struct(request.olds))
        if not changes:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME,
            replaces=sorted({path.partition(".")[0] for path, change in changes.items() if change.replaces}),
            deleteBeforeReplace=delete_first(changes, old),
            hasDetailedDiff=True,
            detailedDiff={path: _difference(change) for path, change in changes.items()},
        )

    @answers_errors
    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        """Make the resource, or promise what it would be."""
        row = self._row(request.urn, context)
        session = self._session(context)
        inputs = from_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_struct(wire.promised(row, inputs)))
        try:
            id_, outputs = session.create(row, inputs, _call(context, request.timeout))
        except PartialError as error:
            _abort_partial(context, error, request.properties)
        return provider_pb2.CreateResponse(id=id_, properties=to_struct(outputs))

    @answers_errors
    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        """Refresh or import: inputs as well as outputs, or drift would never be found."""
        row = self._row(request.urn, context)
        inputs, state = from_struct(request.inputs), from_struct(request.properties)
        found = self._session(context).read(row, request.id, inputs, state)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, inputs=to_struct(found[0]), properties=to_struct(found[1]))

    @answers_errors
    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        """Overwrite the resource, or promise what it would be."""
        row = self._row(request.urn, context)
        session = self._session(context)
        inputs = from_struct(request.news)
        if request.preview:
            promise = wire.promised(row, inputs, from_struct(request.olds))
            return provider_pb2.UpdateResponse(properties=to_struct(promise))
        try:
            outputs = session.update(row, inputs, _call(context, request.timeout))
        except PartialError as error:
            _abort_partial(context, error, request.news)
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    @answers_errors
    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Delete the resource and wait until it is gone."""
        row = self._row(request.urn, context)
        state = from_struct(request.properties)
        self._session(context).delete(row, request.id, state, _call(context, request.timeout))
        return empty_pb2.Empty()

    def _row(self, urn: str, context: grpc.ServicerContext) -> table.ResourceType:
        token = urn.split("::")[2].rpartition("$")[2]
        row = self._table.types.get(token)
        if row is None:
            known = ", ".join(sorted(self._table.types))
            message = f"the emulator's provider doesn't play the resource type '{token}'; it plays {known}"
            _abort(context, grpc.StatusCode.UNIMPLEMENTED, message)
        return row

    def _session(self, context: grpc.ServicerContext) -> Session:
        with self._lock:
            session = self._sessions.get(context.peer())
            if session is None:
                # An engine that was silent for long reconnects from another port: where all engines say the same,
                # it doesn't matter which one this is.
                others = {other.settings: other for other in self._sessions.values()}
                session = next(iter(others.values())) if len(others) == 1 else None
        if session is None:
            raise RefusedError(
                "this provider doesn't know the engine that asks: it was restarted, or the engine's connection was"
                " lost, in the middle of an operation. Run the command again."
            )
        return session


def _naming(request: provider_pb2.CheckRequest) -> Naming:
    mode: Mode | None = None
    if request.HasField("autonaming"):
        modes: tuple[Mode, ...] = ("PROPOSE", "ENFORCE", "DISABLE")
        mode = modes[request.autonaming.mode]
    return Naming(request.urn, bytes(request.randomSeed), mode, request.autonaming.proposed_name)


def _difference(change: Change) -> provider_pb2.PropertyDiff:
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(change.value), inputDiff=True)


def _call(context: grpc.ServicerContext, timeout_s: float = 0.0) -> Call:
    return Call(timeout_s or TIMEOUT_S, context.is_active)


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> Never:
    context.abort(code, message)
    raise AssertionError("abort raises")  # pragma: no cover


def _abort_partial(context: grpc.ServicerContext, error: PartialError, inputs: struct_pb2.Struct) -> Never:
    outputs: dict[str, Json] = error.outputs
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.id, inputs=inputs, properties=to_struct(outputs), reasons=[str(error)]
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _abort(context, grpc.StatusCode.UNKNOWN, str(error))
