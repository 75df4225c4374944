"""Plays the retail price service: `GET /api/retail/prices?$filter=…` (prices.azure.com; 2023-01-01-preview). Public.

The page is Microsoft Learn, "Azure Retail Prices overview". The Linux and low-priority prices are the catalogue's
(`vm_sizes.csv`, eastus), here in every region that has the size. Around them stand the other rows under one armSkuName
that a reader has to tell apart: Windows, Spot, cloud services, dev/test, reservations. Their amounts are made up.
"""

from __future__ import annotations

import re
import uuid
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from emulator.constants import LOCATIONS
from emulator.routing import Answer, Refusal, Route
from emulator.vm_sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.resources.base import Document
    from emulator.routing import Call, Json
    from emulator.vm_sizes import Size

PATH = "/api/retail/prices"
PAGE = 1000
"""Rows of a page, as on the page above."""
CASE_MATTERS_FROM = "2023-01-01-preview"
SERVICE_ID = "DZH313Z7MMC8"
FIELDS = {
    name.lower(): name
    for name in (
        "armRegionName", "armSkuName", "location", "meterId", "meterName", "productId", "productName",
        "serviceFamily", "serviceId", "serviceName", "skuId", "skuName",
    )
} | {"pricetype": "type"}  # fmt: skip
"""What a filter may name, in any case, and the row's member."""
TERM = re.compile(r"(\w+) eq '((?:[^']|'')*)'|contains\((\w+), ?'((?:[^']|'')*)'\)")
SPACE = uuid.UUID("7261696e-7961-7264-7072-696365730000")
LICENCE_A_CORE = 0.046
"""What Windows costs an hour and core. The other factors, like this one, only keep the rows apart."""
SPOT, LOW_PRIORITY, RESERVED = 0.18, 0.2, 0.62
HOURS_A_YEAR = 8760
PLACES = {
    "westeurope": "EU West",
    "northeurope": "EU North",
    "eastus": "US East",
    "eastus2": "US East 2",
    "westus2": "US West 2",
    "southcentralus": "US South Central",
    "uksouth": "UK South",
    "swedencentral": "SE Central",
}


def routes() -> list[Route]:
    """Return the row of the table; the service asks for no token and no api-version."""
    return [Route("GET", PATH, _prices, auth=False, api_version=False)]


def _prices(call: Call) -> Answer:
    """Play the service: rows that fit the filter, a page of them, and where the next page is."""
    if call.query.get("currencyCode", "'USD'").strip("'") != "USD":
        raise Refusal(501, "NotPlayedByThisEmulator", "Only currencyCode 'USD' is played by this emulator.")
    exact = call.query.get("api-version", "") >= CASE_MATTERS_FROM
    fits = _filter(call.query.get("$filter", ""), exact=exact)
    skip = call.query.get("$skip", "0")
    if not skip.isdigit():
        raise _invalid(f"$skip is a number; got '{skip}'")
    found = [row for row in rows() if fits(row)]
    start = int(skip)
    page: list[Json] = [*found[start : start + PAGE]]
    after = {**call.query, "$skip": str(start + PAGE)}
    more = f"{call.origin}{PATH}?{urlencode(after, quote_via=quote)}" if len(found) > start + PAGE else None
    body: Document = {
        "BillingCurrency": "USD",
        "CustomerEntityId": "Default",
        "CustomerEntityType": "Retail",
        "Items": page,
        "NextPageLink": more,
        "Count": len(page),
    }
    return Answer(200, body)


def _filter(text: str, *, exact: bool) -> Callable[[Document], bool]:
    """Read a filter: `field eq 'value'` and `contains(field, 'value')`, joined by `and`. Raises `Refusal`."""
    terms: list[tuple[str, str, bool]] = []
    for part in re.split(r" and (?=(?:[^']*'[^']*')*[^']*$)", text.strip()) if text.strip() else []:
        match = TERM.fullmatch(part.strip())
        if match is None:
            message = f"This emulator plays filters of 'eq' and 'contains' joined by 'and'; got '{part}'."
            raise Refusal(501, "NotPlayedByThisEmulator", message)
        name, value = match[1] or match[3], (match[2] if match[1] else match[4]).replace("''", "'")
        if name.lower() not in FIELDS:
            raise _invalid(f"the filter names '{name}'")
        terms.append((FIELDS[name.lower()], value if exact else value.lower(), bool(match[1])))

    def fits(row: Document) -> bool:
        for name, wanted, whole in terms:
            has = str(row[name]) if exact else str(row[name]).lower()
            if has != wanted if whole else wanted not in has:
                return False
        return True

    return fits


def _invalid(why: str) -> Refusal:
    return Refusal(400, "BadRequest", f"Invalid OData parameters supplied: {why}.")


@cache
def rows() -> tuple[Document, ...]:
    """Return every row of every region; made once."""
    priced = [size for size in sizes().values() if size.price is not None]
    return tuple(row for place in LOCATIONS for size in priced if size.in_location(place) for row in _rows(size, place))


def _rows(size: Size, place: str) -> list[Document]:
    price = size.price or 0.0
    name = size.name.removeprefix("Standard_").replace("_", " ")
    linux = f"Virtual Machines {_series(size)} Series"
    windows, licensed = f"{linux} Windows", price + LICENCE_A_CORE * size.vcpus
    low = size.low_priority_price if size.low_priority_price is not None else price * LOW_PRIORITY

    def row(product: str, word: str, amount: float, **changes: Json) -> Document:
        return _row(size, place, {"productName": product, "skuName": f"{name}{word}"}, amount) | changes

    made = [
        row(windows, "", licensed),
        row(linux, "", price),
        row(linux, " Spot", price * SPOT),
        row(windows, " Spot", licensed * SPOT),
        row(f"{_series(size)} Series Cloud Services", "", licensed),
        row(windows, "", price, type="DevTestConsumption"),
    ]
    if size.low_priority:
        made += [row(linux, " Low Priority", low), row(windows, " Low Priority", low + LICENCE_A_CORE * size.vcpus)]
    for years, term in ((1, "1 Year"), (3, "3 Years")):
        amount = price * RESERVED * HOURS_A_YEAR * years
        made.append(row(linux, "", amount, type="Reservation", reservationTerm=term))
    return made


def _series(size: Size) -> str:
    return size.series.replace("_", " ")


def _row(size: Size, place: str, names: dict[str, str], amount: float) -> Document:
    product, sku = names["productName"], names["skuName"]
    price = round(amount, 6)
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": place,
        "location": PLACES[place],
        "effectiveStartDate": "2025-01-01T00:00:00Z",
        "meterId": str(uuid.uuid5(SPACE, f"{product}|{sku}|{place}")),
        "meterName": sku,
        "productId": f"DZH318Z{uuid.uuid5(SPACE, product).hex[:5].upper()}",
        "skuId": f"DZH318Z{uuid.uuid5(SPACE, product).hex[:5].upper()}/{uuid.uuid5(SPACE, sku).hex[:4].upper()}",
        "productName": product,
        "skuName": sku,
        "serviceName": "Virtual Machines",
        "serviceId": SERVICE_ID,
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": size.name,
    }
