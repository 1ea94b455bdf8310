"""Cron expressions: five fields of numbers, with an optional time zone before them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def next_time(text: str, after: float) -> float | None:
    """The first time after a time, in seconds since 1970; None where there is none in eight years.

    Raises:
        ValueError: It's no cron expression.
    """
    zone: tzinfo = UTC
    if match := re.fullmatch(r"(?:CRON_)?TZ=(\S+) (.*)", text):
        zone, text = ZoneInfo(match[1]), match[2]
    if len(fields := text.split()) != 5:
        raise ValueError(f"'{text}' has {len(fields)} fields, expected 5")
    minutes, hours, days, months, weekdays = map(_field, fields, _RANGES)
    # A day counts if either field names it, unless one of them is free.
    fits = any if "*" not in (fields[2][0], fields[4][0]) else all
    start = datetime.fromtimestamp(after, zone)
    for day in (start.date() + timedelta(days=ahead) for ahead in range(366 * 8)):
        if day.month in months and fits([day.day in days, day.isoweekday() % 7 in weekdays]):
            for hour, minute in ((hour, minute) for hour in sorted(hours) for minute in sorted(minutes)):
                when = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()
                if when > after:
                    return when
    return None


def _field(text: str, limits: tuple[int, int]) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match and match[1] else limits
        if not match or not limits[0] <= low <= high <= limits[1] or match[3] == "0":
            raise ValueError(f"'{text}' is no field within {limits[0]} and {limits[1]}")
        values.update(range(low, high + 1, int(match[3] or 1)))
    return values
