"""Cron expressions: five fields, with an optional time zone before them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_YEARS = 8


class Cron:
    """A cron expression.

    Raises:
        ValueError: It isn't one.
    """

    def __init__(self, text: str) -> None:
        zone: tzinfo = UTC
        fields = text.split()
        if fields and (match := re.fullmatch(r"(?:CRON_)?TZ=(\S+)", fields[0])):
            try:
                zone = ZoneInfo(match[1])
            except (KeyError, ValueError, OSError):
                raise ValueError(f"'{match[1]}' is no time zone") from None
            fields = fields[1:]
        if len(fields) != 5:
            raise ValueError(f"'{text}' has {len(fields)} fields, expected 5")
        self.zone = zone
        names: list[list[str]] = [[], [], [], ["", *_MONTHS], _DAYS]
        self.minutes, self.hours, self.days, self.months, weekdays = (
            _field(field, low, high, known) for field, (low, high), known in zip(fields, _RANGES, names, strict=True)
        )
        self.weekdays = {day % 7 for day in weekdays}
        # A day counts if either field names it, unless one of them is free.
        self.either = not fields[2].startswith("*") and not fields[4].startswith("*")

    def next(self, after: float) -> float | None:
        """The first time after a time, in seconds since 1970; None where there is none in the next years."""
        start = datetime.fromtimestamp(after, self.zone)
        for ahead in range(366 * _YEARS):
            day = start.date() + timedelta(days=ahead)
            in_month, in_week = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
            fits = in_month or in_week if self.either else in_month and in_week
            if not fits or day.month not in self.months:
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    when = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone).timestamp()
                    if when > after:
                        return when
        return None


def _field(text: str, low: int, high: int, names: list[str]) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if not match or (match[1] == "*" and match[2]):
            raise ValueError(f"'{text}' is no field of a cron expression")
        first = low if match[1] == "*" else _number(match[1], names)
        last = high if match[1] == "*" or (match[3] and not match[2]) else _number(match[2] or match[1], names)
        step = int(match[3] or 1)
        if not low <= first <= last <= high or step < 1:
            raise ValueError(f"'{text}' is not within {low} and {high}")
        values.update(range(first, last + 1, step))
    return values


def _number(text: str, names: list[str]) -> int:
    if text.isdecimal():
        return int(text)
    if text.upper() in names:
        return names.index(text.upper())
    raise ValueError(f"'{text}' is neither a number nor a name")
