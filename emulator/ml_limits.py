"""How many cores a subscription and its workspaces may use: the limits that one has, and how they are changed.

The first limits are those of a subscription that has never asked for more ("Manage and increase quotas and limits",
2026-01): 300 dedicated cores a region, 100 of each ordinary family, none of GPU and specialised families, and 100
low-priority cores that all families share. Quotas_Update (2025-12-01) divides them between workspaces; more of them
comes from a support request in Azure, and here from `trainyard.limits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator import arm_common, ml
from emulator.resources.base import invalid, place
from emulator.routing import Answer, Refusal, Route
from emulator.vm_sizes import Size, family_key, sizes

if TYPE_CHECKING:
    from emulator.resources.base import Document
    from emulator.routing import Call, Json
    from emulator.state import State

PROVIDER = "Microsoft.MachineLearningServices"
LOCATION = "/subscriptions/{sub}/providers/Microsoft.MachineLearningServices/locations/{location}"
KIND = "quota"
FIRST = {"TotalClusters": 500, "TotalDedicatedCores": 300, "TotalLowPriorityCores": 100}
FAMILY_DEDICATED = 100


def routes() -> list[Route]:
    """Return the rows of the table."""
    return [
        Route("POST", f"{LOCATION}/updateQuotas", _update),
        Route("POST", f"{LOCATION}/trainyard.limits", _raise, api_version=False),
    ]


def total(state: State, location: str, name: str) -> int:
    """Return a region's limit of a total."""
    return _set(state, location, name, FIRST[name])


def family(state: State, location: str, size: Size) -> int:
    """Return the dedicated cores that a size's family may use in a region."""
    return _set(state, location, family_key(size.family), 0 if size.on_request else FAMILY_DEDICATED)


def workspace_family(state: State, workspace_id: str, key: str) -> int | None:
    """Return the part of a family's cores that a workspace was given, or None when nobody divided them."""
    limit = (state.get(f"{workspace_id}/__quota/{key}") or {}).get("limit")
    return limit if isinstance(limit, int) else None


def one_a_family(location: str) -> dict[str, Size]:
    """Return a size of each family that the region has, by the family's key."""
    found: dict[str, Size] = {}
    for size in sizes().values():
        if size.in_location(location):
            found.setdefault(family_key(size.family), size)
    return found


def shown(name: str) -> str:
    """Return how answers show a family: `Standard DSv2 Family` for standardDSv2Family (recorded 2025-11)."""
    plain = name.removeprefix("standard").removeprefix("Standard").removesuffix("Family").strip()
    return f"Standard {plain} Family"


def region(call: Call) -> str:
    """Return the region that the path names. Raises `Refusal` 400."""
    arm_common.known_location(call.args["location"], f"{PROVIDER}/workspaces/computes")
    return place(call.args["location"])


def _set(state: State, location: str, name: str, first: int) -> int:
    limit = (state.get(_key(location, name)) or {}).get("limit")
    return limit if isinstance(limit, int) else first


def _key(location: str, name: str) -> str:
    return f"/quotas/{location}/{name}"


def _raise(call: Call) -> Answer:
    """Set limits of the subscription: `{"limits": {"standardNCASv3_T4Family": 24, "TotalDedicatedCores": 400}}`.

    No operation of Azure: there, one asks support, or Microsoft.Quota.
    """
    location, given = region(call), ml.obj(call.json().get("limits"))
    if not given:
        raise invalid("'limits' must name at least one family or total, such as {\"TotalDedicatedCores\": 400}.")
    families = one_a_family(location)
    for name, limit in given.items():
        if name not in FIRST and family_key(name) not in families:
            raise invalid(f"'{name}' is neither a VM family in {location} nor one of {', '.join(FIRST)}.")
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise invalid(f"The limit of '{name}' must be a whole number from 0; got {limit}.")
    with call.cloud.state.transaction():
        for name, limit in given.items():
            call.cloud.state.put(_key(location, name if name in FIRST else family_key(name)), {"limit": limit}, KIND)
    return Answer(200, {"limits": given})


def _update(call: Call) -> Answer:
    """Play Quotas_Update: divide a family between workspaces; each row says how it went, the answer is 200."""
    location, rows = region(call), ml.items(call.json().get("value"))
    if not rows:
        raise Refusal(400, "BadRequest", "The request body must have at least one quota in 'value'.")
    value: list[Json] = []
    with call.cloud.state.transaction():
        for row in map(ml.obj, rows):
            status = _divide(call.cloud.state, location, row)
            value.append({**{key: row.get(key) for key in ("id", "type", "limit", "unit")}, "status": status})
    return Answer(200, {"value": value, "nextLink": None})


def _divide(state: State, location: str, row: Document) -> str:
    """Set one workspace's limit; return the words of UpdateWorkspaceQuotas `status`."""
    workspace, _, name = ml.text(row.get("id")).partition("/quotas/")
    limit = row.get("limit")
    found = state.get(workspace)
    if found is None or ml.text(found.get("type")).lower() != f"{PROVIDER}/workspaces".lower():
        return "Failure"
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        return "Failure"
    families = one_a_family(location)
    key = next((key for key, size in families.items() if _same_row(size.family, name)), None)
    if key is None:
        return "InvalidVMFamilyName"
    if limit > family(state, location, families[key]):
        return "InvalidQuotaExceedsSubscriptionLimit"
    from emulator import ml_quota  # that module is built on this one

    if limit < ml_quota.least_cores(state, location, workspace, key):
        return "InvalidQuotaBelowClusterMinimum"
    state.put(f"{workspace}/__quota/{key}", {"limit": limit, "id": row["id"], "family": families[key].family}, KIND)
    return "Success"


def _same_row(family_name: str, given: str) -> bool:
    """Compare a family with the last part of a row's id, which is its name or how it is shown."""
    wanted = family_key(given)
    return wanted in {family_key(family_name), family_key(f"{shown(family_name)} Cluster Dedicated vCPUs")}
