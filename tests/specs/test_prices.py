from __future__ import annotations

from datetime import date

from specs.prices import Price, PriceRange, hourly, price_range, spread


def test_a_price_says_of_when_and_where_it_is() -> None:
    assert hourly("standard_d2_v3", "Dedicated", 3) == Price(0.288, date(2026, 6, 18), "eastus", "USD")
    assert hourly("Standard_D2_v3", "LowPriority", 10) == Price(0.192, date(2026, 6, 18), "eastus", "USD")


def test_an_older_price_keeps_its_date() -> None:
    assert hourly("Standard_D32ads_v5", "Dedicated", 1) == Price(1.648, date(2024, 12, 13))


def test_what_has_no_price_has_none() -> None:
    assert hourly("Standard_ND96isr_H200_v5", "Dedicated", 1) is None
    assert hourly("Standard_ND96asr_v4", "LowPriority", 1) is None
    assert hourly("Standard_D2_v99", "Dedicated", 1) is None
    assert price_range("Standard_D2_v99", "Dedicated", 0, 4) is None


def test_a_range_goes_from_the_fewest_nodes_to_the_most() -> None:
    assert price_range("Standard_D2_v2", "Dedicated", 0, 4) == PriceRange(0.0, 0.584, date(2026, 6, 18))
    assert spread(Price(0.7, date(2026, 11, 21), "westus"), 1, 3) == PriceRange(
        0.7, 2.1, date(2026, 11, 21), "westus", "USD"
    )


def test_the_note_says_that_another_region_differs() -> None:
    found = price_range("Standard_D2_v2", "Dedicated", 0, 4)
    assert found is not None
    assert found.note("eastus") == "USD an hour, Linux, eastus, 2026-06-18"
    assert found.note("westeurope") == "USD an hour, Linux, eastus, 2026-06-18; westeurope differs"
