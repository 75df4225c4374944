from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.control_plane import ControlPlane
from runtime.errors import ConnectionLostError, RefusedError
from runtime.retail import FEW, PATIENCE, SERVICE, Retail, meters
from runtime.transport import NotSentError, Request
from specs.prices import Price
from tests.runtime import kit

if TYPE_CHECKING:
    from runtime.wire import Object

PATH = "/api/retail/prices"
DAY = date(2026, 11, 21)


def meter(price: float, **changes: object) -> dict[str, object]:
    """Make a row as the service writes it (Microsoft Learn, Azure Retail Prices overview)."""
    return {
        "currencyCode": "USD",
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "westeurope",
        "location": "EU West",
        "effectiveStartDate": "2021-11-01T00:00:00Z",
        "meterName": "D4ads v5",
        "productName": "Virtual Machines Dadsv5 Series",
        "skuName": "D4ads v5",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "Standard_D4ads_v5",
        **changes,
    }


ROWS = [
    meter(0.412, productName="Dadsv5 Series Windows"),
    meter(0.39, productName="Dadsv5 Series CloudServices"),
    meter(0.38, productName="Dadsv5 Series Cloud Services"),
    meter(0.05, productName="Dadsv5 Series Dedicated Host"),
    meter(0.23),
    meter(0.042, meterName="D4ads v5 Spot", skuName="D4ads v5 Spot"),
    meter(0.046, meterName="D4ads v5 Low Priority", skuName="D4ads v5 Low Priority"),
    meter(0.16, meterName="D4ads v5 Low Priority", productName="Virtual Machines Dadsv5 Series Windows"),
    meter(0.19, effectiveEndDate="2026-10-31T23:59:59Z"),
    meter(0.18, effectiveStartDate="2026-12-01T00:00:00Z"),
    meter(0.0),
    meter(1500.0, type="Reservation", reservationTerm="1 Year"),
    meter(0.17, type="DevTestConsumption"),
    meter(0.17, armRegionName="eastus"),
    meter(0.17, currencyCode="EUR"),
    meter(168.0, unitOfMeasure="1/Month"),
]


@pytest.fixture
def retail(transport: kit.FakeTransport, clock: kit.HeldClock) -> Retail:
    plane = ControlPlane(
        kit.FakeAccess("azure", "https://prices.azure.com/", ""),
        clock=clock,
        policy=PATIENCE,
        transport=transport,  # type: ignore[arg-type]  # the one method used
    )
    return Retail(plane)


def answer(*rows: dict[str, object], following: str | None = None) -> kit.Reply:
    return 200, {"BillingCurrency": "USD", "Items": list(rows), "NextPageLink": following, "Count": len(rows)}


def test_of_many_meters_the_linux_machines_in_force_is_taken(retail: Retail, transport: kit.FakeTransport) -> None:
    transport.replies["GET", PATH] = [answer(*ROWS)]
    assert retail.prices(["Standard_D4ads_v5"], "westeurope") == {
        ("standard_d4ads_v5", "Dedicated"): Price(0.23, DAY, "westeurope", "USD"),
        ("standard_d4ads_v5", "LowPriority"): Price(0.046, DAY, "westeurope", "USD"),
    }


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
def test_the_order_of_the_rows_does_not_matter(rows: list[Object]) -> None:
    found = meters(rows, "westeurope", kit.START)
    assert sorted((item.priority, item.amount) for item in found) == [("Dedicated", 0.23), ("LowPriority", 0.046)]


def test_a_windows_meter_without_a_word_of_windows_does_not_double_the_price(
    retail: Retail, transport: kit.FakeTransport
) -> None:
    transport.replies["GET", PATH] = [answer(meter(0.206), meter(0.39))]
    found = retail.prices(["Standard_D4ads_v5"], "westeurope")
    assert found["standard_d4ads_v5", "Dedicated"].amount == 0.206


def test_the_question_names_size_region_and_type_and_carries_no_token(
    retail: Retail, transport: kit.FakeTransport
) -> None:
    asked: list[Request] = []

    def on(request: Request) -> kit.Reply:
        asked.append(request)
        return answer()

    transport.on = on
    assert retail.prices(["Standard_D4ads_v5"], "westeurope") == {}
    (request,) = asked
    assert request.url.partition("?")[0] == SERVICE
    assert parse_qs(urlsplit(request.url).query) == {
        "api-version": ["2023-01-01-preview"],
        "$filter": [
            "serviceName eq 'Virtual Machines' and armRegionName eq 'westeurope' and priceType eq 'Consumption' "
            "and armSkuName eq 'Standard_D4ads_v5'"
        ],
    }
    assert "Authorization" not in request.headers


def test_many_sizes_are_one_sweep_of_the_region_over_all_pages(retail: Retail, transport: kit.FakeTransport) -> None:
    sizes = [f"Standard_D{number}ads_v5" for number in range(1, FEW + 2)]
    following = "https://prices.azure.com:443/api/retail/prices?$filter=x&$skip=1000"
    transport.replies["GET", PATH] = [
        answer(meter(0.1, armSkuName=sizes[0]), following=following),
        answer(meter(0.2, armSkuName=sizes[1]), meter(9.0, armSkuName="Standard_Unasked"), following=""),
    ]
    found = retail.prices(sizes, "westeurope")
    assert {size: price.amount for (size, _), price in found.items()} == {
        "standard_d1ads_v5": 0.1,
        "standard_d2ads_v5": 0.2,
    }
    assert len(transport.asked) == 2


def test_the_next_page_is_not_sought_elsewhere(retail: Retail, transport: kit.FakeTransport) -> None:
    transport.replies["GET", PATH] = [answer(following="https://evil.example/api/retail/prices")]
    with pytest.raises(RefusedError, match=r"^the retail price service points to another host \(evil.example\)$"):
        retail.prices(["Standard_D4ads_v5"], "westeurope")


def test_pages_without_end_are_given_up(retail: Retail, transport: kit.FakeTransport) -> None:
    transport.replies["GET", PATH] = [answer(meter(0.1), following=f"{SERVICE}?$skip=1000")]
    with pytest.raises(RefusedError, match="more than 60 pages for westeurope; none was used"):
        retail.prices(["Standard_D4ads_v5"], "westeurope")


def test_trouble_is_retried(retail: Retail, transport: kit.FakeTransport) -> None:
    transport.replies["GET", PATH] = [(503, None), (429, None), answer(meter(0.23))]
    assert len(retail.prices(["Standard_D4ads_v5"], "westeurope")) == 1


def test_offline_is_said_soon_with_what_to_do(
    retail: Retail, transport: kit.FakeTransport, clock: kit.HeldClock
) -> None:
    transport.replies["GET", PATH] = [NotSentError("prices.azure.com:443: Name or service not known")]
    with pytest.raises(ConnectionLostError) as lost:
        retail.prices(["Standard_D4ads_v5"], "westeurope")
    assert str(lost.value) == (
        "the retail price service (prices.azure.com) does not answer: prices.azure.com:443: Name or service not "
        "known.\n"
        "  Without --online the catalogue's prices are shown."
    )
    assert lost.value.exit_code == 6
    assert clock.seconds <= 3


def test_a_refusal_keeps_the_services_words(retail: Retail, transport: kit.FakeTransport) -> None:
    transport.replies["GET", PATH] = [(400, {"error": {"code": "BadRequest", "message": "Invalid filter."}})]
    with pytest.raises(RefusedError, match=r"^Invalid filter\. \[BadRequest\]$"):
        retail.prices(["Standard_D4ads_v5"], "westeurope")


def test_the_emulators_service_is_its_own_host() -> None:
    access = kit.FakeAccess("emulator", "https://127.0.0.1:38411/", "s", "ca.pem")
    assert Retail.of(access).base == "https://127.0.0.1:38411/api/retail/prices"
    assert Retail.of(kit.FakeAccess("azure", "https://management.azure.com/", "s")).base == SERVICE
    assert Retail.of().base == SERVICE
