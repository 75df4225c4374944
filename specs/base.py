"""The constrained types that several specs share, each with the rule of Azure that it comes from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

EMULATOR_SUBSCRIPTION_ID = "00000000-7472-6169-6e79-617264656d75"
"""The emulator answers for this subscription only, and nothing else does: a stack can't reach the wrong cloud."""


class Spec(BaseModel):
    """What users write: unknown fields are refused, values can't change after validation."""

    # The fields' docstrings are read by `specs.docs`, when they are asked for.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Fault(BaseModel):
    """A finding of a check over several fields, placed by a path relative to the model that found it."""

    at: tuple[str | int, ...]
    message: str
    rule: str
    severity: Literal["error", "warning"] = "error"
    """A warning is said and stops nothing."""
    key: bool = False
    """Whether it is about the name that ends `at`, not the value behind it."""


OnChange: TypeAlias = Literal["in place", "replace", "refused"]


@dataclass(frozen=True, slots=True)
class Wire:
    """Where a field stands in the inputs of its Azure resource, and what a change of it does to a deployed one.

    The one source of what components replace, of drift and adoption by field, and of `docs/targets.md`.
    """

    path: str | None
    """The engine's property path, relative to the parent model's, e.g. `properties.properties.vmSize`; None: it stays
    with us, or makes resources of its own."""
    on_change: OnChange = "in place"
    """`refused`: the service takes neither the change nor would a replacement keep what is inside."""


def wires(model: type[BaseModel]) -> dict[str, Wire]:
    """Map every field of a model, nested ones dotted, to its whole path in the resource's inputs.

    A nested model whose fields carry none changes as one value, like a list.

    Raises:
        TypeError: a field carries no `Wire`.

    """
    found: dict[str, Wire] = {}
    for name, field in model.model_fields.items():
        wire = _wire(field)
        if wire is None:
            raise TypeError(f"{model.__name__}.{name} does not say what a change of it does")
        found[name] = wire
        inner = _model_of(field.annotation)
        if inner is not None and any(_wire(item) for item in inner.model_fields.values()):
            for below, wire_below in wires(inner).items():
                whole = f"{wire.path}.{wire_below.path}" if wire.path and wire_below.path else wire_below.path
                found[f"{name}.{below}"] = Wire(whole, wire_below.on_change)
    return found


def _wire(field: FieldInfo) -> Wire | None:
    return next((item for item in field.metadata if isinstance(item, Wire)), None)


def _model_of(annotation: object) -> type[BaseModel] | None:
    """Return the one model that an annotation names, alone or beside None."""
    members = get_args(annotation) or (annotation,)
    models = [item for item in members if isinstance(item, type) and issubclass(item, BaseModel)]
    return models[0] if len(models) == 1 and get_origin(annotation) in (None, Union, UnionType) else None


def replacing(model: type[BaseModel]) -> list[str]:
    """List the input paths whose change makes a new resource, for `replace_on_changes`."""
    found = {wire.path for wire in wires(model).values() if wire.on_change == "replace" and wire.path}
    return sorted(path for path in found if not any(path.startswith(f"{other}.") for other in found))


def fixed(model: BaseModel) -> dict[str, str]:
    """Return what can't be changed in place, by dotted field, as JSON text: what a deployed thing is held against.

    Holds no secret: a field that is one names its config key.
    """
    values = model.model_dump(mode="json")
    found = {}
    for name, wire in wires(type(model)).items():
        value: object = values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if wire.on_change != "in place" and value is not None and not isinstance(value, dict):
            found[name] = json.dumps(value, sort_keys=True)
    return found


def raise_faults(faults: Sequence[Fault]) -> None:
    """Report the findings of a model's own check, if any; the loader places each at its line."""
    if faults:
        text = "; ".join(f"{'.'.join(map(str, fault.at))}: {fault.message}" for fault in faults)
        template = text.replace("{", "(").replace("}", ")")
        raise PydanticCustomError("faults", template, {"faults": [fault.model_dump() for fault in faults]})


def named(rule: str, pattern: str, says: str) -> AfterValidator:
    """Check a name against a pattern and answer with the rule in words."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise PydanticCustomError(rule, says)
        return value

    return AfterValidator(check)


def worded(pattern: str, says: str) -> FieldInfo:
    """Check a text against a pattern that editors have too, and answer with the rule in words, there and here."""
    found: FieldInfo = Field(pattern=rf"^({pattern})$", json_schema_extra={"patternErrorMessage": says})
    return found


STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""What Pulumi takes for a stack (sdk/go/common/tokens, stack names)."""
ResourceGroupName = Annotated[
    str,
    named(
        "resource-group-name",
        r"[\w().-]{0,89}[\w()-]",
        "a resource group's name has 1 to 90 letters, digits, _ ( ) . - and no dot at its end",
    ),
]
"""Microsoft.Resources naming rules (azure-docs resource-name-rules)."""
WorkspaceName = Annotated[
    str,
    named(
        "workspace-name",
        r"[A-Za-z0-9][A-Za-z0-9-]{2,32}",
        "a workspace's name has 3 to 33 letters, digits and dashes, and starts with a letter or digit",
    ),
]
"""REST reference 2025-12-01: 3 to 33; the stricter resource-name-rules page has no underscore."""
ComputeName = Annotated[
    str,
    named(
        "compute-name",
        r"[A-Za-z](?:[A-Za-z0-9]|-(?=.*[A-Za-z])){1,31}",
        "a compute's name has 2 to 32 letters, digits and dashes, starts with a letter, and a letter still follows "
        "every dash: cpu-cluster, cpu1, not cpu-1",
    ),
]
"""Portal's rule (azure-docs how-to-create-attach-compute-studio): a dash only where a letter still follows, so none
ends in a dash and digits (REST reference 2025-12-01). The length is each kind's own: `specs.compute.NAME_LENGTHS`."""
VmSize = Annotated[
    str, named("vm-size", r"(?i:standard|basic)_[A-Za-z0-9_]+", "a VM size is written like Standard_D2_v2")
]
ResourceName = Annotated[
    str,
    named(
        "resource-name",
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]",
        "a name has 2 to 64 letters, digits, _ . and -, and starts with a letter or digit",
    ),
]
SubnetName = Annotated[
    str,
    named(
        "subnet-name",
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?",
        "a subnet's name has 1 to 80 letters, digits, _ . and -, begins with a letter or digit and ends in one or _",
    ),
]
SecurityRuleName = Annotated[
    str,
    named(
        "security-rule-name",
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?",
        "a rule's name has 1 to 80 letters, digits, _ . and -, begins with a letter or digit and ends in one or _",
    ),
]
"""resource-name-rules, Microsoft.Network."""
Location = Annotated[
    str,
    named(
        "location", r"[a-z]{3,}[a-z0-9]*", "a region is written in lower case without spaces, for example westeurope"
    ),
]
Cidr = Annotated[str, named("cidr", r"(\d{1,3}\.){3}\d{1,3}/\d{1,2}", "an address range is written like 10.20.0.0/16")]
_ARM_ID = r"/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/.+"
_IS_ARM_ID = "must be an ARM id: /subscriptions/…/resourceGroups/…/providers/…"
ArmId = Annotated[
    str,
    named("arm-id", _ARM_ID, _IS_ARM_ID),
    Field(json_schema_extra={"pattern": f"^{_ARM_ID}$", "patternErrorMessage": _IS_ARM_ID}),
]


Named = Annotated[
    str,
    named(
        "reference",
        r"/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/.+|[A-Za-z0-9][A-Za-z0-9_.-]*(@[A-Za-z0-9_.-]{1,100})?",
        "must be a name of this file (training), of another stack (training@platform), or an ARM id",
    ),
]
"""A name in this file, a name in another stack's, or an ARM id."""


def is_elsewhere(name: str) -> bool:
    """Tell whether a reference leaves this file: an ARM id, or `NAME@STACK`."""
    return name.startswith("/") or "@" in name


OpenSshKey = Annotated[
    str,
    named(
        "openssh-key",
        r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) "
        r"[A-Za-z0-9+/]{40,}={0,3}( .*)?",
        "must be a public key in OpenSSH's one-line form, as in ~/.ssh/id_ed25519.pub: ssh-ed25519 AAAA… name",
    ),
]
UserName = Annotated[
    str,
    named(
        "user-name",
        r"[a-z_][a-z0-9_-]{0,31}",
        "a Linux user's name has 1 to 32 lower-case letters, digits, _ and -, and starts with a letter or _",
    ),
]
"""useradd(8), shadow-utils."""


CONFIG_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


def _config_key(value: str) -> str:
    if not CONFIG_KEY.fullmatch(value):
        says = (
            "must be the name of a Pulumi config key (letters, digits, _ . and -). Its secret is set by: "
            "invoke secret NAME"
        )
        raise PydanticCustomError("config-key", says, {"secret": True})
    return value


ConfigKey = Annotated[str, AfterValidator(_config_key), Field(json_schema_extra={"format": "config-key"})]
"""The name of a Pulumi config key that holds a secret: the secret itself is never written in a stack file."""
Tags = dict[
    Annotated[str, StringConstraints(min_length=1, max_length=512)], Annotated[str, StringConstraints(max_length=256)]
]
"""ARM: at most 50 tags, keys of 512 and values of 256 characters."""

LONGEST_S = 10**9
"""Thirty years; `timedelta` itself overflows far above."""
_UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_DURATION = re.compile(r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?")


def parse_duration(value: object) -> object:
    """Read an ISO 8601 duration (`PT2M`) or whole seconds; anything else is refused in words."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    elif match and any(match.groupdict().values()):
        seconds = sum(int(amount) * _UNITS[unit] for unit, amount in match.groupdict().items() if amount)
    else:
        raise PydanticCustomError("duration", "a duration is a number of seconds (120) or ISO 8601 (PT2M)")
    if not 1 <= seconds <= LONGEST_S:
        says = "a duration is at least 1 second and at most {most} seconds"
        raise PydanticCustomError("duration-range", says, {"most": LONGEST_S})
    return timedelta(seconds=seconds)


def iso8601(value: timedelta) -> str:
    """Write a duration as Azure's own clients send it: `PT2M`, `PT1M30S`, `P3D` (recorded of azure-ai-ml 1.35.2)."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = "".join(f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if amount)
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(iso8601, return_type=str),
    Field(json_schema_extra={"type": ["integer", "string"]}),
]


class Identity(Spec):
    """Who a workspace or a cluster is when it calls other services."""

    type: Annotated[Literal["SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned", "None"], Wire("type")]
    """ARM's managed service identity type."""
    user_assigned_identities: Annotated[list[Named], Wire("userAssignedIdentities")] = []
    """Names of the stack's `identities`, `NAME@STACK` of another stack's, or ARM ids of existing ones."""
