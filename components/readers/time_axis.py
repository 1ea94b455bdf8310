"""The time axis of a series: its frequency, its seasons, and the columns derived from a time."""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from components.common.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}
_DAY = 86400
# The spellings of people and of older versions of pandas, each with the present one of pandas.
_SPELLINGS = {"H": "h", "T": "min", "S": "s", "d": "D", "M": "ME", "BM": "BME", "Q": "QE", "BQ": "BQE"}
_SPELLINGS |= {"A": "YE", "Y": "YE", "AS": "YS"}
_WORDS = {"s": "second", "min": "minute", "h": "hour", "D": "day", "B": "business day", "W": "week", "MS": "month"}
_ON = {"ME": "month, on its last day", "QS": "quarter, on its first day", "QE": "quarter, on its last day"}
_ON |= {"YS": "year, on its first day", "YE": "year, on its last day"}
_WEEKDAYS = {"MON": "Mondays", "TUE": "Tuesdays", "WED": "Wednesdays", "THU": "Thursdays", "FRI": "Fridays"}
_WEEKDAYS |= {"SAT": "Saturdays", "SUN": "Sundays"}
_LONGEST = 20
# A step from the year 2000 may end in this year at the latest, so that a step from any row's time ends in a year that
# Python has.
_LAST_YEAR = 3000
# The most steps of different length that are counted.
_MOST_STEPS = 100_000


class Frequency:
    """The time between two rows, in pandas' notation: "30min", "h", "D", "W-FRI", "MS".

    Steps of a fixed length, weeks from any day (W) and months from any day (MS) are computed here. The others are
    offsets of pandas, which is imported only for them: B (business days), M and Q (last days of months and quarters),
    QS, Y, W-FRI and the like.

    Attributes:
        text: The frequency as given.
        count: The number of units in a step.
        seconds: The step in seconds; None where steps differ in length.

    Raises:
        InputError: `text` isn't such a frequency, or the step is zero.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        match = re.fullmatch(r"(\d{0,6})([A-Za-z]{1,4})(-[A-Z0-9]{1,4})?", text)
        self.count = int(match[1] or 1) if match else 0
        unit = _SPELLINGS.get(match[2], match[2]) if match else ""
        self._unit, self._anchor = unit, (match[3] or "") if match else ""
        self._months = self.count if unit == "MS" else 0
        fixed = unit in _UNITS and not self._anchor
        self.seconds = self.count * _UNITS[unit] if fixed else None
        self._offset = None
        if self.count and not fixed and not self._months:
            self._offset = _offset(f"{self.count}{unit}{self._anchor}")
        known = self.seconds or self._months or self._offset is not None
        if not known or not self._ends_by(_LAST_YEAR):
            shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            raise InputError(
                f"frequency '{shown}' is not a count and a unit of pandas, such as 30min, h, D, B, W, W-FRI, MS, M or Q"
            )

    def _ends_by(self, year: int) -> bool:
        """Whether a step from the year 2000 ends in this year or before."""
        try:
            return self.next(datetime(2000, 1, 1)).year <= year
        except (ValueError, OverflowError):
            return False

    def next(self, time: datetime) -> datetime:
        """The time one step after `time`.

        Raises:
            ValueError: There is no such day, as the 31st of February.
            OverflowError: The time is after the year 9999.
        """
        if self.seconds is not None:
            return time + timedelta(seconds=self.seconds)
        if self._offset is not None:
            return self._moved(time, lambda moment: moment + self._offset)
        month = time.month - 1 + self._months
        return time.replace(year=time.year + month // 12, month=month % 12 + 1)

    def holds(self, time: datetime) -> bool:
        """Whether a row can have this time. With W-FRI, it has to be on a Friday."""
        return self._offset is None or self._moved(time, self._offset.rollforward) == time

    def period(self, time: datetime) -> tuple[datetime, datetime, datetime]:
        """The period of one step that `time` lies in.

        A period begins at midnight, on a Monday, or on the first day of a month, a quarter or a year, depending on the
        frequency.

        Returns:
            The time of the period's row, its start, and its end, which is the start of the next. Frequencies of last
            days (M, Q, Y) or of a weekday (W-FRI) have the row on the last day, the others at the start.
        """
        day = time.replace(hour=0, minute=0, second=0, microsecond=0)
        one = timedelta(days=1)
        if self._offset is not None and (self._unit.endswith("E") or self._unit == "W"):
            row = self._moved(day, self._offset.rollforward)
            return row, self._moved(day - one, self._offset.rollback) + one, row + one
        if self._offset is not None:
            start = self._moved(day, self._offset.rollback)
        elif self._months:
            start = day.replace(day=1)
        elif self._unit == "W":
            start = day - timedelta(days=day.weekday())
        else:
            step = self.seconds or 1
            start = day + timedelta(seconds=(time - day).total_seconds() // step * step) if step < _DAY else day
        return start, start, self.next(start)

    def seasons(self) -> dict[str, int]:
        """The names of the naive forecasts that repeat a season, each with the season's length in steps."""
        if self.seconds is not None:
            if self.seconds < _DAY and _DAY % self.seconds == 0:
                day = _DAY // self.seconds
                return {"same_time_yesterday": day, "same_time_last_week": 7 * day}
            return {_DAY: {"same_day_last_week": 7}, 7 * _DAY: {"same_week_last_year": 52}}.get(self.seconds, {})
        names = {"MS": ("same_month_last_year", 12), "ME": ("same_month_last_year", 12)}
        names |= {"BMS": names["MS"], "BME": names["MS"], "B": ("same_day_last_week", 5)}
        names |= dict.fromkeys(("QS", "QE", "BQS", "BQE"), ("same_quarter_last_year", 4))
        names |= {"W": ("same_week_last_year", 52)}
        return dict([names[self._unit]]) if self.count == 1 and self._unit in names else {}

    def season(self) -> int:
        """The length of the shortest season in steps, for the scale of MASE; 1 where there is none."""
        return min(self.seasons().values(), default=1)

    def words(self) -> str:
        """The words that follow "every" in a sentence: "hour", "30 minutes", "week, on Fridays"."""
        if self._unit in _WORDS and not self._anchor:
            return f"{self.count} {_WORDS[self._unit]}s" if self.count > 1 else _WORDS[self._unit]
        if self._unit == "W" and self.count == 1:
            return f"week, on {_WEEKDAYS[self._anchor.removeprefix('-')]}"
        return _ON[self._unit] if self._unit in _ON and self.count == 1 else f"step of {self.text}"

    def _moved(self, time: datetime, move: "Callable[[pd.Timestamp], pd.Timestamp]") -> datetime:
        import pandas as pd

        return move(pd.Timestamp(time)).to_pydatetime()


def seconds_of(time: datetime) -> int:
    """The seconds from 1970 to a time. A time without a zone counts as one in UTC."""
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


def step_problem(time: datetime, previous: datetime | None, frequency: Frequency) -> tuple[str, str] | None:
    """The problem with a row's time: its kind and its message. None where there is no problem.

    Args:
        time: The row's time.
        previous: The time of the row before; None for the first row.
        frequency: The time between two rows.
    """
    if previous is None:
        if frequency.holds(time):
            return None
        return "frequency", f"off the frequency: {time}, expected a row every {frequency.words()} ({frequency.text})"
    if (time.tzinfo is None) != (previous.tzinfo is None):
        return "zone", f"{time} and the row before, {previous}, don't both have a time zone"
    if time == previous:
        return "duplicate", f"duplicate time: {time}"
    if time < previous:
        return "order", f"times out of order: {time} after {previous}"
    try:
        expected = frequency.next(previous)
    except (ValueError, OverflowError) as error:
        return "frequency", f"no time one step of {frequency.text} after {previous}: {error}"
    if time == expected:
        return None
    step = "gap" if time > expected and count_missing(previous, time, frequency) else "off the frequency"
    kind = "gap" if step == "gap" else "frequency"
    return kind, f"{step}: {time} after {previous}, expected {expected} ({frequency.text})"


def count_missing(before: datetime, after: datetime, frequency: Frequency) -> int:
    """The number of missing rows between two; 0 where they aren't a whole number of steps apart.

    Steps of different length are counted one by one, up to `_MOST_STEPS`.
    """
    if frequency.seconds:
        steps, rest = divmod((after - before).total_seconds(), frequency.seconds)
        return 0 if rest else max(0, int(steps) - 1)
    count, time = 0, before
    try:
        while (time := frequency.next(time)) < after and count < _MOST_STEPS:
            count += 1
    except (ValueError, OverflowError):
        return 0
    return count if time == after else 0


def _offset(text: str) -> "pd.DateOffset | None":
    """The offset of whole days that pandas has for a text; None where it has none."""
    from pandas.tseries.frequencies import to_offset
    from pandas.tseries.offsets import BusinessHour, Tick

    try:
        with warnings.catch_warnings():
            # pandas 2 takes "m" for months and warns; pandas 3 refuses it.
            warnings.simplefilter("error", FutureWarning)
            offset = to_offset(text)
    except (ValueError, OverflowError, FutureWarning):
        return None
    return None if isinstance(offset, (Tick, BusinessHour)) else offset


def calendar_columns(cycles: Sequence[str]) -> list[str]:
    """The names of the columns that `calendar_values` computes for these cycles."""
    return [f"{cycle}_{part}" for cycle in cycles for part in ("sin", "cos")]


def calendar_values(time: datetime, cycles: Sequence[str]) -> list[float]:
    """Compute the position of a time on each cycle's circle, so that the end of a cycle is next to its start.

    Args:
        time: The row's time.
        cycles: Some of "hour", "weekday" and "month".

    Returns:
        The sine and the cosine for each cycle, in [-1, 1].
    """
    hour = (time.hour + time.minute / 60 + time.second / 3600) / 24
    turns = {"hour": hour, "weekday": (time.weekday() + hour) / 7, "month": (time.month - 1) / 12}
    return [part(2 * math.pi * turns[cycle]) for cycle in cycles for part in (math.sin, math.cos)]
