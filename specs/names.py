"""Words that Azure keeps to itself. Pure.

Source: azure-docs error-reserved-resource-name. It binds what has a public endpoint; we hold every workspace and
compute to it, because the service checks the name whether or not the endpoint is on.
"""

from __future__ import annotations

RESERVED = frozenset(
    {
        "access", "app_browsers", "app_code", "app_data", "app_globalresources", "app_localresources",
        "app_themes", "app_webreferences", "azure", "bing", "bizspark", "biztalk", "cortana", "directx", "dotnet",
        "dynamics", "excel", "exchange", "forefront", "groove", "hololens", "hyperv", "kinect", "lync", "msdn",
        "o365", "office", "office365", "onedrive", "onenote", "outlook", "powerpoint", "sharepoint", "skype",
        "visio", "visualstudio", "web.config", "xbox",
    }
)  # fmt: skip
"""Not to be used as a whole name."""
NOWHERE = ("microsoft", "windows")
"""Not even inside a name."""
NOT_FIRST = "login"
"""Not at the start of a name."""


def reserved(name: str) -> str:
    """Say why a name is not to be had; empty when it is."""
    low = name.lower()
    if low in RESERVED:
        return f"{name} is a word that Azure reserves. Add something to it, for example team-{low}."
    for word in NOWHERE:
        if word in low:
            return f"Azure takes no name with {word} in it. Use another."
    if low.startswith(NOT_FIRST):
        return f"Azure takes no name that begins with {NOT_FIRST}. Use another."
    return ""
