"""What a size costs an hour in a region today, asked of Azure's retail price service. Public: no token is sent.

GET https://prices.azure.com/api/retail/prices?$filter=… (Microsoft Learn, "Azure Retail Prices overview"): `Items`, at
most 1,000 a page, and `NextPageLink`. The filter's values are case-sensitive since 2023-01-01-preview. One size has
many meters under one armSkuName; of these we take the Linux machine's, in force today:
- `Spot` is another product; `Low Priority` is asked for by name. Both are of type Consumption like the rest.
- `… Windows` contains a licence. `… Cloud Services` or `… CloudServices` is a withdrawn service's Windows machine
  without the word Windows in its name: for Dadsv5 and Eadsv5 that one doubles the price of who takes the last row
  (seen by several readers of the service, 2026). `… Dedicated Host` is a whole host.
- a row can have ended (`effectiveEndDate`) or not begun yet, and a placeholder costs 0.
Where two are left the lower one is Linux's: a licence never makes a machine cheaper.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from runtime import wire
from runtime.access import Access
from runtime.clock import SYSTEM
from runtime.control_plane import ControlPlane, refusal
from runtime.errors import ConnectionLostError, RefusedError
from runtime.retry import Policy
from runtime.transport import Request
from specs.prices import CURRENCY, Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime.clock import Clock
    from runtime.wire import Object
    from specs.vm_sizes import Priority

SERVICE = "https://prices.azure.com/api/retail/prices"
API = "2023-01-01-preview"
PATIENCE = Policy(total_s=20.0, connect_s=3.0)
"""A price is a convenience: say soon that there is none."""
PAGES = 60
"""A region has 8 to 10 pages of machines; more than this is a mistake of somebody's."""
FEW = 12
"""Up to so many sizes are asked for one by one; for more the region is read whole, which takes about ten requests."""
WHOLE_REGION = ""
OTHER_PRODUCTS = ("windows", "cloudservices", "dedicatedhost")
OK = 200


@dataclass(frozen=True, slots=True)
class Meter:
    """One row of the service that is the price of a Linux machine."""

    size: str
    priority: Priority
    amount: float


class Retail:
    """The retail price service, or what plays it. Blocking."""

    def __init__(self, plane: ControlPlane, base: str = SERVICE) -> None:
        self.plane, self.base = plane, base

    @classmethod
    def of(cls, access: Access | None = None, clock: Clock = SYSTEM) -> Retail:
        """Return the service of a cloud: Azure's, or the emulator's where an emulator's access is given."""
        if access is not None and access.cloud == "emulator":
            base = f"{access.resource_manager.rstrip('/')}/api/retail/prices"
            return cls(ControlPlane(access, clock=clock, policy=PATIENCE), base)
        public = Access("azure", "https://prices.azure.com/", "", os.environ.get("REQUESTS_CA_BUNDLE"))
        return cls(ControlPlane(public, clock=clock, policy=PATIENCE))

    def prices(self, sizes: Sequence[str], location: str) -> dict[tuple[str, Priority], Price]:
        """Ask for the hourly price of sizes in a region, by lower-case size and priority; absent: has none there.

        `sizes` are spelled as the catalogue spells them. Raises `ConnectionLostError` when the service does not answer,
        `RefusedError`.
        """
        today = self.plane.clock.now()
        wanted = {size.lower() for size in sizes}
        asked = sizes if len(sizes) <= FEW else [WHOLE_REGION]
        found: dict[tuple[str, Priority], Price] = {}
        for name in asked:
            for meter in meters(self._rows(location, name), location, today):
                at = meter.size.lower(), meter.priority
                if meter.size.lower() in wanted and (at not in found or meter.amount < found[at].amount):
                    found[at] = Price(meter.amount, today.date(), location)
        return found

    def _rows(self, location: str, size: str) -> list[Object]:
        terms = {"serviceName": "Virtual Machines", "armRegionName": location, "priceType": "Consumption"}
        if size:
            terms["armSkuName"] = size
        filters = " and ".join(f"{name} eq {_quoted(value)}" for name, value in terms.items())
        query = urlencode({"api-version": API, "$filter": filters}, quote_via=quote)
        url, rows = f"{self.base}?{query}", list[wire.Json]()
        for _ in range(PAGES):
            page = self._page(url)
            rows += wire.items(page.get("Items"))
            url = wire.text(page.get("NextPageLink"))
            if not url:
                return [wire.obj(row) for row in rows]
            if _origin(url) != _origin(self.base):
                raise RefusedError(f"the retail price service points to another host ({urlsplit(url).netloc})")
        raise RefusedError(f"the retail price service has more than {PAGES} pages for {location}; none was used")

    def _page(self, url: str) -> Object:
        try:
            answer = self.plane.exchange(Request("GET", url), scope=None)
        except ConnectionLostError as error:
            why = str(error).removeprefix("no answer: ")
            host = urlsplit(self.base).hostname
            message = f"the retail price service ({host}) does not answer: {why.rstrip('.')}.\n"
            raise ConnectionLostError(f"{message}  Without --online the catalogue's prices are shown.") from None
        if answer.status != OK:
            raise refusal(answer)
        try:
            return wire.obj(wire.parse(answer.body))
        except ValueError:
            head = answer.body[:80].decode("utf-8", "replace")
            raise RefusedError(f"the retail price service did not answer in JSON: {head}") from None


def meters(rows: Iterable[Object], location: str, now: datetime) -> list[Meter]:
    """Pick the rows that are the price of a Linux machine in a region at a moment. Pure."""
    return [meter for row in rows if (meter := _meter(row, location, now))]


def _meter(row: Object, location: str, now: datetime) -> Meter | None:
    product = wire.text(row.get("productName")).lower().replace(" ", "")
    name = f"{wire.text(row.get('meterName'))} {wire.text(row.get('skuName'))}".lower()
    amount, size = row.get("retailPrice"), wire.text(row.get("armSkuName"))
    facts = (row.get("armRegionName"), row.get("type"), row.get("currencyCode"), row.get("unitOfMeasure"))
    if facts != (location, "Consumption", CURRENCY, "1 Hour") or not size:
        return None
    if any(word in product for word in OTHER_PRODUCTS) or "spot" in name or not _in_force(row, now):
        return None
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount <= 0:
        return None
    return Meter(size, "LowPriority" if "low priority" in name else "Dedicated", float(amount))


def _in_force(row: Object, now: datetime) -> bool:
    start, end = _moment(row.get("effectiveStartDate")), _moment(row.get("effectiveEndDate"))
    return (start is None or start <= now) and (end is None or end >= now)


def _moment(value: wire.Json) -> datetime | None:
    try:
        moment = datetime.fromisoformat(wire.text(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def _origin(url: str) -> tuple[str, str | None, int]:
    """Return scheme, host and port; the service writes its port out where we don't."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or 443
