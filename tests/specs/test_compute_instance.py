"""Instances that are taken, at both ends of every range; those that are not are in the corpus."""

from __future__ import annotations

from datetime import timedelta

import pytest

from specs.compute_instance import ComputeInstanceSpec

BASE = {"kind": "ComputeInstance", "vm_size": "Standard_DS3_v2"}


def instance(**fields: object) -> ComputeInstanceSpec:
    return ComputeInstanceSpec.model_validate({**BASE, **fields})


def test_what_is_not_said_is_closed_personal_and_stops_by_itself() -> None:
    found = instance()
    assert found.application_sharing_policy == "Personal"
    assert found.ssh_settings.ssh_public_access == "Disabled"
    assert found.disable_local_auth is True
    assert found.idle_time_before_shutdown == timedelta(hours=1)


@pytest.mark.parametrize(
    ("given", "idle"), [("PT15M", timedelta(minutes=15)), ("P3D", timedelta(days=3)), (900, timedelta(minutes=15))]
)
def test_the_ends_of_the_idle_time_are_taken(given: object, idle: timedelta) -> None:
    assert instance(idle_time_before_shutdown=given).idle_time_before_shutdown == idle


def test_null_is_never() -> None:
    assert instance(idle_time_before_shutdown=None).idle_time_before_shutdown is None


@pytest.mark.parametrize(
    "expression", ["0 18 * * *", "*/15 * * * *", "0 8 * * 1-5", "0,30 8-18/2 1,15 * 0", "30 18 * * 1,3,5"]
)
def test_crontabs_words_are_taken(expression: str) -> None:
    found = instance(schedules=[{"action": "Stop", "cron": {"expression": expression}}])
    assert found.schedules[0].cron is not None
    assert found.schedules[0].cron.expression == expression


@pytest.mark.parametrize(
    "zone", ["UTC", "W. Europe Standard Time", "UTC-11", "Central Standard Time (Mexico)", "SA Pacific Standard Time"]
)
def test_windows_time_zones_are_taken(zone: str) -> None:
    found = instance(schedules=[{"action": "Start", "cron": {"expression": "0 8 * * *", "time_zone": zone}}])
    assert found.schedules[0].cron is not None
    assert found.schedules[0].cron.time_zone == zone


def test_days_go_with_their_period() -> None:
    schedule = {"hours": [18], "minutes": [0]}
    lines = [
        {
            "action": "Stop",
            "recurrence": {"frequency": "Week", "interval": 1, "schedule": {**schedule, "week_days": ["Friday"]}},
        },
        {
            "action": "Stop",
            "recurrence": {"frequency": "Month", "interval": 1, "schedule": {**schedule, "month_days": [31]}},
        },
        {"action": "Stop", "recurrence": {"frequency": "Day", "interval": 1000, "schedule": schedule}},
        {"action": "Stop", "recurrence": {"frequency": "Hour", "interval": 1}},
    ]
    assert len(instance(schedules=lines).schedules) == 4


def test_a_script_may_take_25_minutes() -> None:
    found = instance(setup_scripts={"creation_script": {"script_data": "echo", "timeout": "PT25M"}})
    assert found.setup_scripts is not None
    assert found.setup_scripts.creation_script is not None
    assert found.setup_scripts.creation_script.timeout == timedelta(minutes=25)
