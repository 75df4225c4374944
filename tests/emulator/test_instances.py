"""The clock of compute instances: timetables and idle shutdown, with a held clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from emulator import instances, schedules
from emulator.instances import Instances
from emulator.schedules import fault, fires
from tests.emulator.arm_kit import START, Arm, mapping
from tests.emulator.compute_kit import CI, inner, instance

if TYPE_CHECKING:
    from emulator.routing import Json


def cron(expression: str, action: str = "Stop", **more: Json) -> dict[str, Json]:
    trigger: dict[str, Json] = {"expression": expression, **more}
    return {"action": action, "status": "Enabled", "triggerType": "Cron", "cron": trigger}


def every(frequency: str, interval: Json = 1, **more: Json) -> dict[str, Json]:
    trigger: dict[str, Json] = {"frequency": frequency, "interval": interval, **more}
    return {"action": "Stop", "triggerType": "Recurrence", "recurrence": trigger}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fired(entry: dict[str, Json], *moments: str) -> list[str]:
    """Return those of the moments at which the entry fires; it was made on Monday 2026-11-02 at 08:15."""
    return [moment for moment in moments if fires(entry, at(moment), at("2026-11-02 08:15"))]


@pytest.mark.parametrize(
    ("entry", "moments", "wanted"),
    [
        (cron("30 18 * * *"), ["2026-11-21 18:30", "2026-11-21 18:31", "2026-11-21 19:30"], [0]),
        (cron("*/20 8-9 * * *"), ["2026-11-21 08:00", "2026-11-21 09:40", "2026-11-21 09:10"], [0, 1]),
        (cron("0 7 * * 1-5"), ["2026-11-20 07:00", "2026-11-21 07:00", "2026-11-22 07:00"], [0]),
        (cron("0 7 * * 7"), ["2026-11-22 07:00", "2026-11-23 07:00"], [0]),
        (cron("0 7 * * MON,Sun"), ["2026-11-22 07:00", "2026-11-23 07:00", "2026-11-24 07:00"], [0, 1]),
        (
            cron("0 7 13 * FRI"),
            ["2026-11-13 07:00", "2026-11-20 07:00", "2026-12-13 07:00", "2026-12-14 07:00"],
            [0, 1, 2],
        ),
        (cron("0 7 1 JAN *"), ["2027-01-01 07:00", "2026-12-01 07:00"], [0]),
        (cron("0 19 * * *", timeZone="W. Europe Standard Time"), ["2026-11-21 18:00", "2026-07-01 17:00"], [0, 1]),
        (cron("0 19 * * *", timeZone="Mars Standard Time"), ["2026-11-21 19:00"], []),
        (cron("0 19 * * *", startTime="2026-11-22T00:00:00"), ["2026-11-21 19:00", "2026-11-22 19:00"], [1]),
        (cron("0 19 * * *") | {"status": "Disabled"}, ["2026-11-21 19:00"], []),
        (every("Minute", 20), ["2026-11-02 08:35", "2026-11-02 08:36", "2026-11-02 07:55"], [0]),
        (every("Hour", 6), ["2026-11-02 14:15", "2026-11-02 15:15", "2026-11-02 14:16"], [0]),
        (every("Day"), ["2026-11-03 08:15", "2026-11-03 08:16"], [0]),
        (every("Day", 2, schedule={"hours": [7, 19], "minutes": [0]}), ["2026-11-04 19:00", "2026-11-05 19:00"], [0]),
        (every("Week"), ["2026-11-09 08:15", "2026-11-10 08:15"], [0]),
        (
            every("Week", 2, schedule={"hours": [18], "minutes": [30], "weekDays": ["Friday"]}),
            ["2026-11-06 18:30", "2026-11-13 18:30", "2026-11-20 18:30"],
            [0, 2],
        ),
        (every("Month", schedule={"hours": [1], "minutes": [0], "monthDays": [31]}), ["2026-12-31 01:00"], [0]),
        (every("Month", 2), ["2026-12-02 08:15", "2027-01-02 08:15"], [1]),
        (every("Day", startTime="2026-11-05T06:00:00"), ["2026-11-04 06:00", "2026-11-06 06:00"], [1]),
    ],
)
def test_an_entry_fires_in_its_minutes(entry: dict[str, Json], moments: list[str], wanted: list[int]) -> None:
    assert fault(entry) is None
    assert fired(entry, *moments) == [moments[index] for index in wanted]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**cron("0 7 * * *"), "action": "Nap"}, "'action' must be Start or Stop; got 'Nap'"),
        ({**cron("0 7 * * *"), "status": "On"}, "'status' must be Enabled or Disabled; got 'On'"),
        ({"action": "Stop", "triggerType": "Moon"}, "'triggerType' must be Cron or Recurrence; got 'Moon'"),
        (cron("0 7 * *"), "'0 7 * *' is not a cron expression of five fields"),
        (cron("60 7 * * *"), "'60 7 * * *' is not a cron expression of five fields"),
        (cron("0 7 * * 8"), "'0 7 * * 8' is not a cron expression of five fields"),
        (cron("0/0 7 * * *"), "'0/0 7 * * *' is not a cron expression of five fields"),
        (cron("0 9-7 * * *"), "'0 9-7 * * *' is not a cron expression of five fields"),
        (cron("0 7 * FEBR *"), "'0 7 * FEBR *' is not a cron expression of five fields"),
        (every("Year"), "'frequency' must be one of Minute, Hour, Day, Week, Month; got 'Year'"),
        (every("Day", 0), "'interval' must be a whole number above 0; got '0'"),
        (every("Day", "1x"), "'interval' must be a whole number above 0; got '1x'"),
    ],
)
def test_an_entry_that_is_none_is_named(entry: dict[str, Json], words: str) -> None:
    assert fault(entry) == words


def test_every_whole_minute_is_looked_at_once() -> None:
    start = at("2026-11-21 12:00:30")
    assert schedules.minutes(start, start + timedelta(seconds=29)) == []
    assert schedules.minutes(start, start + timedelta(seconds=90)) == [at("2026-11-21 12:01"), at("2026-11-21 12:02")]
    assert schedules.minutes(start + timedelta(seconds=90), start + timedelta(seconds=100)) == []
    assert len(schedules.minutes(start, start + timedelta(days=30))) == 1440


def power(arm: Arm) -> tuple[Json, Json]:
    """Return the state and who switched it last."""
    found = inner(arm, CI)
    return found["state"], mapping(found["lastOperation"])["operationTrigger"]


def test_a_timetable_switches_an_instance_off_and_on(arm: Arm) -> None:
    arm.seed()
    entries: list[Json] = [cron("30 18 * * *"), cron("0 7 * * *", "Start")]
    arm.put(CI, instance(schedules={"computeStartStop": entries}), 201)
    clock = Instances(arm.cloud)
    assert (clock.tick(), power(arm)) == ([], ("Running", "User"))
    arm.clock.forward(hours=6, minutes=29)
    assert clock.tick() == []
    arm.clock.forward(minutes=1)
    assert (clock.tick(), power(arm)) == ([(CI, "stop")], ("Stopped", "Schedule"))
    assert clock.tick() == []
    arm.clock.forward(hours=12, minutes=30)
    assert (clock.tick(), power(arm)) == ([(CI, "start")], ("Running", "Schedule"))
    arm.call("POST", f"{CI}/stop")
    arm.clock.moment = START + timedelta(days=1, hours=6, minutes=30)
    assert (clock.tick(), power(arm)) == ([], ("Stopped", "User"))


class Doors:
    """Stands for the SSH servers: says how many are logged in."""

    def __init__(self) -> None:
        self.logged_in = 0

    def stop(self, _name: str) -> None:
        self.logged_in = 0

    def find(self, _name: str) -> None:
        return None

    def sessions(self, _name: str) -> int:
        return self.logged_in


def test_an_instance_that_nobody_uses_is_stopped(arm: Arm) -> None:
    arm.seed()
    arm.put(CI, instance(idleTimeBeforeShutdown="PT30M"), 201)
    clock, doors = Instances(arm.cloud), Doors()
    arm.cloud.ssh = doors  # type: ignore[assignment]
    doors.logged_in = 1
    arm.clock.forward(minutes=29)
    assert clock.tick() == []
    doors.logged_in = 0
    arm.clock.forward(minutes=29, seconds=59)
    assert clock.tick() == []
    arm.clock.forward(seconds=1)
    assert clock.tick() == [(CI, "stop")]
    arm.cloud.ssh = None
    assert power(arm) == ("Stopped", "IdleShutdown")
    arm.call("POST", f"{CI}/start")
    assert clock.tick() == []
    arm.clock.forward(minutes=30)
    assert (clock.tick(), power(arm)) == ([(CI, "stop")], ("Stopped", "IdleShutdown"))


@pytest.mark.parametrize(("verb", "state"), [("stop", "Stopped"), ("restart", "Running")])
def test_what_a_kill_left_under_way_is_ended_at_the_next_start(arm: Arm, verb: str, state: str) -> None:
    arm.seed()
    arm.put(CI, instance(), 201)
    instances.begin(arm.cloud, CI, verb)
    stale = arm.cloud.home / "instances" / "gone-0123"
    stale.mkdir(parents=True)
    Instances(arm.cloud).start()
    assert power(arm) == (state, "User")
    assert mapping(inner(arm, CI)["lastOperation"])["operationStatus"] == "Succeeded"
    assert not stale.exists()


def test_the_clock_runs_only_where_time_does(arm: Arm) -> None:
    clock = Instances(arm.cloud)
    clock.start()
    assert clock._thread is None
    arm.cloud.transitions = "time"
    timed = Instances(arm.cloud)
    timed.start()
    assert timed._thread is not None
    timed.stop()
    assert not timed._thread.is_alive()
