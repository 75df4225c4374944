"""Timetables of compute instances: is an entry well formed, and does it fire in this minute? Pure functions.

`schedules.computeStartStop` of ComputeInstanceProperties (api-version 2025-12-01): a crontab line, or a recurrence as
Logic Apps have them, in a Windows time zone. Words of lists are taken in any case: azure-ai-ml 1.35.2 sends "stop".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from emulator import ml

if TYPE_CHECKING:
    from emulator.routing import Json

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""Minute, hour, day of the month, month, day of the week (0 is Sunday, and so is 7)."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FREQUENCIES = ("Minute", "Hour", "Day", "Week", "Month")
ZONES = {
    "UTC": "UTC",
    "GMT Standard Time": "Europe/London",
    "W. Europe Standard Time": "Europe/Berlin",
    "Central Europe Standard Time": "Europe/Budapest",
    "Romance Standard Time": "Europe/Paris",
    "E. Europe Standard Time": "Europe/Chisinau",
    "FLE Standard Time": "Europe/Kiev",
    "Eastern Standard Time": "America/New_York",
    "Central Standard Time": "America/Chicago",
    "Mountain Standard Time": "America/Denver",
    "Pacific Standard Time": "America/Los_Angeles",
    "India Standard Time": "Asia/Calcutta",
    "China Standard Time": "Asia/Shanghai",
    "Tokyo Standard Time": "Asia/Tokyo",
    "AUS Eastern Standard Time": "Australia/Sydney",
}
"""The commoner Windows zones (CLDR windowsZones). An entry in another zone is kept and not acted on."""


def fault(entry: dict[str, Json]) -> str | None:
    """Say what is wrong with an entry, or None."""
    if _word(entry.get("action")) not in {"start", "stop"}:
        return f"'action' must be Start or Stop; got '{entry.get('action')}'"
    if _word(entry.get("status")) not in {"", "enabled", "disabled"}:
        return f"'status' must be Enabled or Disabled; got '{entry.get('status')}'"
    kind = _word(entry.get("triggerType"))
    if kind == "cron":
        expression = ml.text(ml.obj(entry.get("cron")).get("expression"))
        return None if _cron(expression) is not None else f"'{expression}' is not a cron expression of five fields"
    if kind == "recurrence":
        return _recurrence_fault(ml.obj(entry.get("recurrence")))
    return f"'triggerType' must be Cron or Recurrence; got '{entry.get('triggerType')}'"


def fires(entry: dict[str, Json], minute: datetime, made: datetime) -> bool:
    """Tell whether an enabled entry fires in this minute; without a start time it counts from when it was made."""
    if _word(entry.get("status")) == "disabled":
        return False
    by_cron = _word(entry.get("triggerType")) == "cron"
    trigger = ml.obj(entry.get("cron" if by_cron else "recurrence"))
    zone = _zone(ml.text(trigger.get("timeZone")) or "UTC")
    if zone is None:
        return False
    local = minute.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    started = _start(ml.text(trigger.get("startTime")))
    start = (started or made.astimezone(zone).replace(tzinfo=None)).replace(second=0, microsecond=0)
    if started is not None and local < start:
        return False
    if by_cron:
        return _cron_fires(ml.text(trigger.get("expression")), local)
    return local >= start and _recurs(trigger, local, start)


def _word(value: Json) -> str:
    return ml.text(value).lower()


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(ZONES.get(name, name))
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _start(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=None) if text else None
    except ValueError:
        return None


def _cron(expression: str) -> list[set[int]] | None:
    """Return the values of each field, or None where it is not a crontab line."""
    parts = expression.split()
    if len(parts) != len(FIELDS):
        return None
    names: tuple[tuple[str, ...], ...] = ((), (), (), ("", *MONTHS), DAYS)
    found = [_field(part, *limits, words) for part, limits, words in zip(parts, FIELDS, names, strict=True)]
    return None if any(values is None for values in found) else [values for values in found if values is not None]


def _field(text: str, low: int, high: int, names: tuple[str, ...]) -> set[int] | None:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        top = 7 if names == DAYS else high
        begin = low if span == "*" else _number(first, names)
        end = high if span == "*" or (step and not last) else _number(last or first, names)
        if begin is None or end is None or not low <= begin <= end <= top or (step and not step.isdigit()):
            return None
        if step and int(step) == 0:
            return None
        values.update(value % 7 if names == DAYS else value for value in range(begin, end + 1, int(step or 1)))
    return values


def _number(text: str, names: tuple[str, ...]) -> int | None:
    if text.isdigit():
        return int(text)
    return names.index(text.lower()) if text and text.lower() in names else None


def _cron_fires(expression: str, local: datetime) -> bool:
    fields = _cron(expression)
    if fields is None:
        return False
    minutes, hours, days, months, weekdays = fields
    on_day, on_weekday = local.day in days, local.isoweekday() % 7 in weekdays
    _, _, day, _, weekday = expression.split()
    # crontab(5): where both are restricted, either will do.
    right_day = (on_day or on_weekday) if "*" not in {day[0], weekday[0]} else (on_day and on_weekday)
    return local.minute in minutes and local.hour in hours and local.month in months and right_day


def _recurrence_fault(given: dict[str, Json]) -> str | None:
    if ml.text(given.get("frequency")).capitalize() not in FREQUENCIES:
        return f"'frequency' must be one of {', '.join(FREQUENCIES)}; got '{given.get('frequency')}'"
    interval = given.get("interval")
    if not isinstance(interval, int) or isinstance(interval, bool) or interval < 1:
        return f"'interval' must be a whole number above 0; got '{interval}'"
    return None


def _recurs(given: dict[str, Json], local: datetime, start: datetime) -> bool:
    frequency, interval = ml.text(given.get("frequency")).capitalize(), given.get("interval")
    if not isinstance(interval, int) or interval < 1:
        return False
    when = ml.obj(given.get("schedule"))
    if frequency == "Minute":
        return int((local - start) / timedelta(minutes=1)) % interval == 0
    at_minute = local.minute in (ml.items(when.get("minutes")) or [start.minute])
    if frequency == "Hour":
        hours = int((local.replace(minute=0) - start.replace(minute=0)) / timedelta(hours=1))
        return at_minute and hours % interval == 0
    at_time = at_minute and local.hour in (ml.items(when.get("hours")) or [start.hour])
    return at_time and _on_day(frequency, interval, local, start, when)


def _on_day(frequency: str, interval: int, local: datetime, start: datetime, when: dict[str, Json]) -> bool:
    weekdays, days = [_word(day) for day in ml.items(when.get("weekDays"))], ml.items(when.get("monthDays"))
    if frequency == "Day":
        return (local.date() - start.date()).days % interval == 0
    if frequency == "Week":
        monday, first = (moment.date() - timedelta(days=moment.weekday()) for moment in (local, start))
        right_day = WEEK[local.weekday()] in (weekdays or [WEEK[start.weekday()]])
        return right_day and (monday - first).days // 7 % interval == 0
    months = (local.year - start.year) * 12 + local.month - start.month
    right_day = WEEK[local.weekday()] in weekdays if weekdays and not days else local.day in (days or [start.day])
    return right_day and months % interval == 0


def minutes(after: datetime, until: datetime) -> list[datetime]:
    """List the whole minutes in (after, until], at most a day of them."""
    first = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    count = min(int((until - first) / timedelta(minutes=1)) + 1, 24 * 60) if until >= first else 0
    return [first + timedelta(minutes=step) for step in range(count)]
