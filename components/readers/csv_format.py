"""The format of a CSV series: the options that say how it is written, and the functions that read its fields."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import Field

from components.common.errors import InputError
from components.common.spec import Strict

Method = Literal["mean", "sum", "min", "max", "first", "last"]
MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none")
# The largest value. Its square is still below 3.4e38, the largest float32, which standard deviations need.
LARGEST = 1e18
YEARS = (1000, 8000)
# Times that are counts since 1970, in UTC, and how many of them are a second.
UNIX = {"unix": 1, "unix_ms": 1000}


class Fill(Strict):
    """The rule that fills missing values, and the missing rows of a gap.

    Attributes:
        method: "linear" interpolates between the values around a gap, "forward" repeats the value before it, and
            "seasonal" repeats the value of one season before. Only "linear" uses a later value.
        at_most: The most successive rows that are filled. A longer gap is a problem.
    """

    method: Literal["linear", "forward", "seasonal"]
    at_most: int = Field(ge=1, le=100_000)


class CsvFormat(Strict):
    r"""The options that say how a file is written and made regular. Predictions and drift use those of the training.

    Attributes:
        time: The column of times.
        time_format: The format of the times, as strptime takes it; or "unix" for seconds since 1970 in UTC, "unix_ms"
            for milliseconds. Without it, times are ISO 8601.
        separator: The character between fields, such as ";" or "\t" (tab).
        decimal: The decimal point of numbers: "." or ",".
        thousands: The character between groups of three digits, such as ",".
        strip: Characters before and after numbers that are no part of them, such as "$%".
        where: The rows to keep, by "column: value". It selects one of several series in a file.
        series: The column that tells the rows of different series apart, such as a store's name. One model is trained
            on all of them, and no window has rows of two.
        fill: Fill missing values and gaps.
        resample: Combine the rows of each period of `frequency` to one: their "mean", "sum", "min", "max", "first" or
            "last", for all columns or by column. Periods at the ends that aren't whole are left out.
    """

    time: str = "time"
    time_format: str | None = None
    separator: Literal[",", ";", "\t", "|", ":", " "] = ","
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "_", "\u00a0", "\u202f"] = ""
    strip: str = ""
    where: dict[str, str | int | float] = {}
    series: str | None = None
    fill: Fill | None = None
    resample: Method | dict[str, Method] | None = None

    def form(self) -> "CsvFormat":
        """These options, without those of a subclass."""
        return CsvFormat.model_validate({name: getattr(self, name) for name in CsvFormat.model_fields})

    def problems(self, columns: list[str]) -> dict[str, str]:
        """The contradictions between options, each by an option without which the others can be used.

        Args:
            columns: The columns of values.
        """
        problems = {}
        if self.decimal == self.thousands:
            problems["thousands"] = f"decimal and thousands are both '{self.decimal}'"
        if self.series in (self.time, *columns):
            problems["series"] = f"series: column '{self.series}' is the time or a value, expected another column"
        if isinstance(self.resample, dict) and self.resample.keys() != set(columns):
            problems["resample"] = f"resample: names {', '.join(self.resample)}, expected each of {', '.join(columns)}"
        if self.time_format is not None and self.time_format not in UNIX and not _is_format(self.time_format):
            expected = f"one of strptime, such as %d.%m.%Y %H:%M, {' or '.join(UNIX)}"
            problems["time_format"] = f"time_format '{shortened(self.time_format)}' is not {expected}"
        return problems

    def parse_time(self, text: str) -> datetime:
        """Read a field of the time column.

        Raises:
            InputError: The field isn't such a time, or its year is one that calendars and plots can't hold.
        """
        text = text.strip()
        try:
            time = parse(text, self.time_format or "")
        except ValueError:
            expected = self.time_format or "ISO 8601, such as 2014-01-31T13:30 (or set time_format)"
            raise InputError(f"column '{self.time}': '{shortened(text)}' is not a time as {expected}") from None
        if not YEARS[0] <= time.year <= YEARS[1]:
            raise InputError(f"column '{self.time}': {time} is not in the years {YEARS[0]} to {YEARS[1]}")
        return time

    def parse_number(self, text: str, column: str) -> float:
        """Read a field of a column of values. A missing value gives NaN.

        Raises:
            InputError: The field isn't a number, or it is infinite or beyond LARGEST.
        """
        try:
            value = float(self._plain(text))
        except ValueError:
            if text.strip().lower() in MISSING:
                return math.nan
            raise InputError(f"column '{column}': '{shortened(text.strip())}' is not a number") from None
        if -LARGEST <= value <= LARGEST or math.isnan(value):
            return value
        text = shortened(text.strip())
        if math.isinf(value):
            raise InputError(f"column '{column}': {text} is not a finite number")
        raise InputError(f"column '{column}': {text} is beyond {LARGEST:g}; use a larger unit")

    def _plain(self, text: str) -> str:
        """The text of a number in Python's notation.

        Raises:
            ValueError: The number has another decimal point, or groups of another length.
        """
        if self.strip or self.thousands:
            text = text.strip()
        if self.strip:
            sign = "-" if text.startswith("-") else ""
            text = sign + text.removeprefix("-").strip(self.strip + " ")
        if "_" in text and self.thousands != "_":
            raise ValueError
        if self.thousands and self.thousands in text:
            # India writes 12,34,567.
            sep = re.escape(self.thousands)
            if not re.match(rf"[+-]?\d{{1,3}}({sep}\d{{2,3}})*{sep}\d{{3}}(?!\d)(?!{sep})", text):
                raise ValueError
            text = text.replace(self.thousands, "")
        if self.decimal != ".":
            if "." in text:
                raise ValueError
            text = text.replace(self.decimal, ".")
        return text

    def keeps(self, fields: dict[str, str]) -> bool:
        """Whether `where` keeps a row, from its fields in the columns that `where` names."""
        return all(fields[column].strip() == str(value) for column, value in self.where.items())


def parse(text: str, time_format: str) -> datetime:
    """Read a time as strptime does, in one of UNIX, or in ISO 8601 where the format is empty.

    A year of two digits (%y) may be written with one, such as 1-01 for January 2001.

    Raises:
        ValueError: The text doesn't have the format.
    """
    if not time_format:
        return datetime.fromisoformat(text)
    if time_format in UNIX:
        return _unix(text, UNIX[time_format])
    try:
        return datetime.strptime(text, time_format)
    except ValueError:
        if "%y" not in time_format:
            raise
        return datetime.strptime(re.sub(r"(?<!\d)\d(?!\d)", r"0\g<0>", text), time_format)


def _unix(text: str, of_a_second: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(text) / of_a_second)
    except OverflowError:
        raise ValueError(text) from None


def shortened(text: str) -> str:
    """The text of a field for a message: its first 40 characters, with escapes for those that can't be printed."""
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def _is_format(text: str) -> bool:
    try:
        datetime.strptime(datetime(2001, 2, 3, tzinfo=UTC).strftime(text), text)
    except (ValueError, re.error):
        return False
    return "%" in text
