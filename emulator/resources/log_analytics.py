"""Plays Microsoft.OperationalInsights/workspaces (Workspaces_CreateOrUpdate, SharedKeys_GetSharedKeys, 2023-09-01)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.resources.base import Name, Type, choice, invalid
from emulator.routing import Answer, Refusal, Route

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write
    from emulator.routing import Call

ONE = "/subscriptions/{sub}/resourceGroups/{rg}/providers/Microsoft.OperationalInsights/workspaces/{name}"
SKUS = ("PerGB2018", "Free", "Standalone", "PerNode", "Standard", "Premium", "CapacityReservation", "LACluster")
DAYS = (30, 730)


def _shape(write: Write) -> Document:
    given = write.properties
    sku = ml.obj(given.get("sku"))
    choice(sku.get("name"), "sku.name", SKUS)
    days = given.get("retentionInDays", DAYS[0])
    if not isinstance(days, int) or not DAYS[0] <= days <= DAYS[1]:
        raise invalid(f"'retentionInDays' must be between {DAYS[0]} and {DAYS[1]}; got {days}.")
    now = ml.stamp(write.cloud.now())
    return {
        "sku": {"name": "PerGB2018"},
        "retentionInDays": DAYS[0],
        "features": {"enableLogAccessUsingOnlyResourcePermissions": True},
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
        "workspaceCapping": {"dailyQuotaGb": -1.0},
        **given,
        "customerId": write.kept("customerId", lambda: str(uuid4())),
        "createdDate": write.kept("createdDate", lambda: now),
        "modifiedDate": now,
    }


def _shared_keys(call: Call) -> Answer:
    """Play SharedKeys_GetSharedKeys."""
    id_ = ONE.format(sub=call.args["sub"], rg=call.args["rg"], name=call.args["name"])
    if call.cloud.state.get(id_) is None:
        raise Refusal(404, "ResourceNotFound", f"The workspace '{call.args['name']}' was not found.")
    first, second = (
        base64.b64encode(
            hmac.new(call.cloud.secret, f"log-key:{id_.lower()}:{which}".encode(), hashlib.sha512).digest()
        ).decode()
        for which in ("primary", "secondary")
    )
    return Answer(200, {"primarySharedKey": first, "secondarySharedKey": second})


TYPE = Type(
    "Microsoft.OperationalInsights/workspaces",
    Name(
        r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
        "4-63 letters, digits and '-', with a letter or digit at both ends",
    ),
    _shape,
    top=("location", "tags", "identity"),
    put="operation",
    extra=lambda: [Route("POST", f"{ONE}/sharedKeys", _shared_keys)],
)
