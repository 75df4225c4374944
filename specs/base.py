"""The constrained types that several specs share, each with the rule of Azure that it comes from."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Sequence

EMULATOR_SUBSCRIPTION_ID = "00000000-7472-6169-6e79-617264656d75"
"""The emulator answers for this subscription only, and nothing else does: a stack can't reach the wrong cloud."""


class Spec(BaseModel):
    """What users write: unknown fields are refused, values can't change after validation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, populate_by_name=True
    )


class Fault(BaseModel):
    """A finding of a check over several fields, placed by a path relative to the model that found it."""

    at: tuple[str | int, ...]
    message: str
    rule: str


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
        r"[A-Za-z](?!.*-\d*$)[A-Za-z0-9-]{1,30}[A-Za-z0-9]",
        "a cluster's name has 3 to 32 letters, digits and dashes, starts with a letter, "
        "and does not end in a dash or in a dash and digits",
    ),
]
"""REST reference 2025-12-01 (letter first, no dash and digits at the end); the portal's lengths for AmlCompute."""
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
        "a subnet's name has 1 to 80 letters, digits, _ . and -",
    ),
]
Location = Annotated[
    str,
    named(
        "location", r"[a-z]{3,}[a-z0-9]*", "a region is written in lower case without spaces, for example westeurope"
    ),
]
Cidr = Annotated[str, named("cidr", r"(\d{1,3}\.){3}\d{1,3}/\d{1,2}", "an address range is written like 10.20.0.0/16")]
ArmId = Annotated[
    str,
    named(
        "arm-id",
        r"/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/.+",
        "an ARM id begins with /subscriptions/…/resourceGroups/…/providers/",
    ),
]


CONFIG_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


def _config_key(value: str) -> str:
    if not CONFIG_KEY.fullmatch(value):
        says = "names a Pulumi config key (letters, digits, _ . and -); the secret itself is set by: invoke secret NAME"
        raise PydanticCustomError("config-key", says, {"secret": True})
    return value


ConfigKey = Annotated[str, AfterValidator(_config_key)]
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
    """Write a duration as the wire wants it, in whole seconds: `PT120S`."""
    return f"PT{int(value.total_seconds())}S"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(iso8601, return_type=str),
    Field(json_schema_extra={"type": ["integer", "string"]}),
]


class Identity(Spec):
    """Who a workspace or a cluster is when it calls other services."""

    type: Literal["SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned", "None"]
    """ARM's managed service identity type."""
    user_assigned_identities: list[str] = []
    """Names of the stack's `identities`, or ARM ids of existing ones."""
