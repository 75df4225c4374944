"""The retail price service: filters, pages, and the rows that a reader must not take."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from emulator import prices
from emulator.constants import LOCATIONS
from emulator.vm_sizes import sizes
from tests.emulator.arm_kit import ORIGIN, Arm, mapping

if TYPE_CHECKING:
    from emulator.routing import Json

NEW = "2023-01-01-preview"
SIZE = "serviceName eq 'Virtual Machines' and armRegionName eq 'westeurope' and armSkuName eq 'Standard_D4ads_v5'"


def ask(arm: Arm, url: str = "", **query: str) -> tuple[int, dict[str, Json]]:
    """Send a request as anybody may: without a token."""
    answer = arm.send("GET", url or f"{ORIGIN}{prices.PATH}?{urlencode(query)}")
    return answer.status, mapping(answer.body)  # type: ignore[arg-type]


def items(arm: Arm, text: str, version: str = NEW) -> list[dict[str, Json]]:
    status, body = ask(arm, **{"api-version": version, "$filter": text})
    assert status == 200, body
    return [mapping(item) for item in body["Items"]]  # type: ignore[union-attr]


def test_a_size_has_a_row_for_every_way_to_pay(arm: Arm) -> None:
    found = items(arm, SIZE)
    assert [(row["type"], row["productName"], row["skuName"]) for row in found] == [
        ("Consumption", "Virtual Machines DADSv5 Series Windows", "D4ads v5"),
        ("Consumption", "Virtual Machines DADSv5 Series", "D4ads v5"),
        ("Consumption", "Virtual Machines DADSv5 Series", "D4ads v5 Spot"),
        ("Consumption", "Virtual Machines DADSv5 Series Windows", "D4ads v5 Spot"),
        ("Consumption", "DADSv5 Series Cloud Services", "D4ads v5"),
        ("DevTestConsumption", "Virtual Machines DADSv5 Series Windows", "D4ads v5"),
        ("Consumption", "Virtual Machines DADSv5 Series", "D4ads v5 Low Priority"),
        ("Consumption", "Virtual Machines DADSv5 Series Windows", "D4ads v5 Low Priority"),
        ("Reservation", "Virtual Machines DADSv5 Series", "D4ads v5"),
        ("Reservation", "Virtual Machines DADSv5 Series", "D4ads v5"),
    ]
    assert [row.get("reservationTerm") for row in found[-2:]] == ["1 Year", "3 Years"]
    size = sizes()["standard_d4ads_v5"]
    assert (found[1]["retailPrice"], found[6]["retailPrice"]) == (size.price, size.low_priority_price)
    amounts = [float(str(row["retailPrice"])) for row in found]
    assert amounts[0] > amounts[1] > amounts[6] > 0


def test_a_row_has_the_services_members(arm: Arm) -> None:
    row = items(arm, f"{SIZE} and priceType eq 'Consumption'")[1]
    assert sorted(row) == [
        "armRegionName", "armSkuName", "currencyCode", "effectiveStartDate", "isPrimaryMeterRegion", "location",
        "meterId", "meterName", "productId", "productName", "retailPrice", "serviceFamily", "serviceId", "serviceName",
        "skuId", "skuName", "tierMinimumUnits", "type", "unitOfMeasure", "unitPrice",
    ]  # fmt: skip
    assert (row["currencyCode"], row["unitOfMeasure"], row["location"]) == ("USD", "1 Hour", "EU West")
    assert row["retailPrice"] == row["unitPrice"]


def test_a_filters_values_have_a_case_since_2023(arm: Arm) -> None:
    text = SIZE.replace("Virtual Machines", "virtual machines")
    assert items(arm, text) == []
    assert len(items(arm, text, "2021-10-01")) == 10
    assert len(items(arm, f"{SIZE} and contains(meterName, 'Low Priority')")) == 2


def test_a_region_is_read_in_pages_of_a_thousand(arm: Arm) -> None:
    wanted = "armRegionName eq 'eastus' and priceType eq 'Consumption'"
    status, body = ask(arm, **{"api-version": NEW, "$filter": wanted})
    seen = [mapping(item)["skuName"] for item in body["Items"]]  # type: ignore[union-attr]
    assert (status, body["Count"], len(seen)) == (200, 1000, 1000)
    pages = 1
    while body["NextPageLink"]:
        link = str(body["NextPageLink"])
        assert parse_qs(urlsplit(link).query) == {
            "api-version": [NEW],
            "$filter": [wanted],
            "$skip": [str(pages * 1000)],
        }
        _, body = ask(arm, link)
        seen += [mapping(item)["skuName"] for item in body["Items"]]  # type: ignore[union-attr]
        pages += 1
    expected = [
        row["skuName"] for row in prices.rows() if (row["armRegionName"], row["type"]) == ("eastus", "Consumption")
    ]
    assert seen == expected
    assert pages == -(-len(expected) // 1000)


def test_a_region_that_lacks_a_size_has_no_price_for_it(arm: Arm) -> None:
    places = {str(row["armRegionName"]) for row in items(arm, "armSkuName eq 'Standard_ND40rs_v2'")}
    lacking = {"northeurope", "eastus2", "uksouth", "swedencentral"}
    assert places == set(LOCATIONS) - lacking


def test_every_region_of_this_cloud_has_a_name_on_the_bill() -> None:
    assert tuple(prices.PLACES) == LOCATIONS


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ({"$filter": "colour eq 'red'"}, (400, "BadRequest")),
        ({"$skip": "many"}, (400, "BadRequest")),
        ({"$filter": "skuName ne 'x'"}, (501, "NotPlayedByThisEmulator")),
        ({"$filter": "skuName eq 'x' or skuName eq 'y'"}, (501, "NotPlayedByThisEmulator")),
        ({"currencyCode": "'EUR'"}, (501, "NotPlayedByThisEmulator")),
    ],
)
def test_what_is_not_played_is_refused(arm: Arm, query: dict[str, str], refusal: tuple[int, str]) -> None:
    status, body = ask(arm, **query)
    assert (status, mapping(body["error"])["code"]) == refusal


def test_a_quote_in_a_value_is_doubled(arm: Arm) -> None:
    assert items(arm, "skuName eq 'it''s and more'") == []
