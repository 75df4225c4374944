"""Plays microsoft.insights/components (Components_CreateOrUpdate, 2020-02-02): Application Insights on a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from emulator import ml
from emulator.constants import TENANT_ID
from emulator.resources import log_analytics
from emulator.resources.base import Name, Type, choice, exists, invalid, place

if TYPE_CHECKING:
    from emulator.resources.base import Document, Write


def _shape(write: Write) -> Document:
    given = write.properties
    if not write.body.get("kind"):
        raise invalid("Required property 'kind' is missing from the request body.")
    choice(given.get("Application_Type"), "Application_Type", ("web", "other"))
    if given.get("WorkspaceResourceId") is not None:
        exists(write.cloud, given["WorkspaceResourceId"], log_analytics.TYPE.name, "WorkspaceResourceId")
    key = write.kept("InstrumentationKey", lambda: str(uuid4()))
    region = place(write.body.get("location"))
    return {
        "Application_Type": "web",
        "Flow_Type": "Bluefield",
        "Request_Source": "rest",
        "IngestionMode": "LogAnalytics" if given.get("WorkspaceResourceId") else "ApplicationInsights",
        "RetentionInDays": 90,
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
        **given,
        "ApplicationId": write.name,
        "Name": write.name,
        "AppId": write.kept("AppId", lambda: str(uuid4())),
        "InstrumentationKey": key,
        "ConnectionString": (
            f"InstrumentationKey={key};IngestionEndpoint=https://{region}-0.in.applicationinsights.azure.com/"
        ),
        "TenantId": TENANT_ID,
        "CreationDate": write.kept("CreationDate", lambda: ml.stamp(write.cloud.now())),
        "provisioningState": "Succeeded",
    }


TYPE = Type(
    "microsoft.insights/components",
    Name(r"[^%&\\?/]{0,259}[^%&\\?/. ]", "1-260 characters without % & \\ ? / and with no space or dot at the end"),
    _shape,
    top=("location", "tags", "kind", "etag"),
    created=200,
)
