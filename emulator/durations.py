"""ISO 8601 durations as Azure reads them: weeks, days, hours, minutes, seconds; no months, no years."""

from __future__ import annotations

import re
from datetime import timedelta

_FORM = re.compile(
    r"P(?=.)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def parse(value: str) -> timedelta | None:
    """Return the duration, or None when the text isn't one."""
    found = _FORM.fullmatch(value)
    if found is None:
        return None
    return timedelta(**{unit: float(number) for unit, number in found.groupdict().items() if number})
