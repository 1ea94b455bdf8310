"""The time axis of a series: its frequency, its seasons, and the columns derived from a time."""

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from components.errors import InputError

_UNITS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}
_DAY = 86400


class Frequency:
    """A fixed step between rows, written as pandas writes it: "30min", "h", "D", "W", or "MS" for months.

    Attributes:
        text: As given.
        seconds: The step in seconds; None for months, which differ in length.

    Raises:
        InputError: `text` is none of these.
    """

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"(\d*)(s|min|h|D|W|MS)", text)
        count = int(match[1] or 1) if match else 0
        if not match or count < 1:
            raise InputError(f"frequency '{text}' is not a count and one of s, min, h, D, W, MS, such as 30min")
        self.text = text
        self._months = count if match[2] == "MS" else 0
        self.seconds = None if self._months else count * _UNITS[match[2]]

    def next(self, time: datetime) -> datetime:
        """The time one step after `time`."""
        if self.seconds is not None:
            return time + timedelta(seconds=self.seconds)
        month = time.month - 1 + self._months
        return time.replace(year=time.year + month // 12, month=month % 12 + 1)

    def seasons(self) -> dict[str, int]:
        """Names of the naive forecasts that repeat a season, and that season's length in steps."""
        if self.seconds is None:
            return {"same_month_last_year": 12} if self._months == 1 else {}
        if self.seconds < _DAY and _DAY % self.seconds == 0:
            day = _DAY // self.seconds
            return {"same_time_yesterday": day, "same_time_last_week": 7 * day}
        return {_DAY: {"same_day_last_week": 7}, 7 * _DAY: {"same_week_last_year": 52}}.get(self.seconds, {})

    def season(self) -> int:
        """Steps of the shortest season; 1 where there is none (for the scale of MASE)."""
        return min(self.seasons().values(), default=1)


def calendar_columns(cycles: Sequence[str]) -> list[str]:
    """Names of the columns that `calendar_values` gives for these cycles."""
    return [f"{cycle}_{part}" for cycle in cycles for part in ("sin", "cos")]


def calendar_values(time: datetime, cycles: Sequence[str]) -> list[float]:
    """Place `time` on each cycle's circle, so that the end of a cycle is next to its start.

    Args:
        time: The row's time.
        cycles: Any of "hour", "weekday", "month".

    Returns:
        Sine and cosine for each cycle, in [-1, 1].
    """
    hour = (time.hour + time.minute / 60 + time.second / 3600) / 24
    turns = {"hour": hour, "weekday": (time.weekday() + hour) / 7, "month": (time.month - 1) / 12}
    return [part(2 * math.pi * turns[cycle]) for cycle in cycles for part in (math.sin, math.cos)]
