"""How the rows of a CSV series are written, and how their fields are read."""

import math
import re
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from components.common.errors import InputError
from components.common.spec import Strict

Method = Literal["mean", "sum", "min", "max", "first", "last"]
MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none")
# Scaling squares deviations in float32, which ends at 3.4e38.
LARGEST = 1e18
YEARS = (1000, 8000)


class Fill(Strict):
    """What takes the place of missing values, and of the missing rows of a gap.

    Attributes:
        method: "linear" between the values around it, "forward" repeats the value before, "seasonal" that of one season
            before. Models see what is filled; "forward" and "seasonal" look at nothing that comes later.
        at_most: Rows in a row that are filled; more are a problem.
    """

    method: Literal["linear", "forward", "seasonal"]
    at_most: int = Field(ge=1, le=100_000)


class CsvFormat(Strict):
    r"""How a file is written and made regular; predictions and drift read theirs as the training's.

    Attributes:
        time: The column of times.
        time_format: Of the time column, as strptime takes it; ISO 8601 where it isn't given.
        separator: Between fields, such as ";" or "\t" (tab).
        decimal: Before a number's fraction: "." or ",".
        thousands: Between groups of three digits, such as ",".
        strip: Signs before and after numbers that are no part of them, such as "$%".
        where: Rows to keep, by "column: value"; one series of several in a file.
        fill: Fill missing values and gaps.
        resample: Make one row of all rows of a period of `frequency`: their "mean", "sum", "min", "max", "first" or
            "last"; or that by column. Periods at the ends that aren't whole are left out.
    """

    time: str = "time"
    time_format: str | None = None
    separator: Literal[",", ";", "\t", "|", ":", " "] = ","
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "_", "\u00a0", "\u202f"] = ""
    strip: str = ""
    where: dict[str, str | int | float] = {}
    fill: Fill | None = None
    resample: Method | dict[str, Method] | None = None

    def form(self) -> "CsvFormat":
        """These alone."""
        return CsvFormat.model_validate({name: getattr(self, name) for name in CsvFormat.model_fields})

    def problems(self, columns: list[str]) -> dict[str, str]:
        """What doesn't go together, by the option without which the rest can be used.

        Args:
            columns: Those of values.
        """
        found = {}
        if self.decimal == self.thousands:
            found["thousands"] = f"decimal and thousands are both '{self.decimal}'"
        if isinstance(self.resample, dict) and self.resample.keys() != set(columns):
            found["resample"] = f"resample: names {', '.join(self.resample)}, expected each of {', '.join(columns)}"
        if self.time_format is not None and not _is_format(self.time_format):
            said = shortened(self.time_format)
            found["time_format"] = f"time_format '{said}' is not one of strptime, such as %d.%m.%Y %H:%M"
        return found

    def parse_time(self, text: str) -> datetime:
        """A field of the time column.

        Raises:
            InputError: It is no such time, or of a year that calendars and plots can't hold.
        """
        text = text.strip()
        try:
            time = parse(text, self.time_format or "")
        except ValueError:
            wanted = self.time_format or "ISO 8601, such as 2014-01-31T13:30 (or set time_format)"
            raise InputError(f"column '{self.time}': '{shortened(text)}' is not a time as {wanted}") from None
        if not YEARS[0] <= time.year <= YEARS[1]:
            raise InputError(f"column '{self.time}': {time} is not in the years {YEARS[0]} to {YEARS[1]}")
        return time

    def parse_number(self, text: str, column: str) -> float:
        """A field of a column of values; NaN where it is missing.

        Raises:
            InputError: It isn't a number, or not one that models can compute with.
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
        """The number as Python writes it.

        Raises:
            ValueError: It has another decimal sign, or groups of another length.
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
        """Whether `where` keeps a row, given its fields in the columns that `where` names."""
        return all(fields[column].strip() == str(value) for column, value in self.where.items())


def parse(text: str, time_format: str) -> datetime:
    """Read a time as strptime does, or in ISO 8601 where the format is empty.

    A year of two digits (%y) may be written with one, such as 1-01 for January 2001.

    Raises:
        ValueError: It isn't of the format.
    """
    if not time_format:
        return datetime.fromisoformat(text)
    try:
        return datetime.strptime(text, time_format)
    except ValueError:
        if "%y" not in time_format:
            raise
        return datetime.strptime(re.sub(r"(?<!\d)\d(?!\d)", r"0\g<0>", text), time_format)


def shortened(text: str) -> str:
    """A field as a message shows it."""
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def _is_format(text: str) -> bool:
    try:
        datetime.strptime(datetime(2001, 2, 3, tzinfo=UTC).strftime(text), text)
    except (ValueError, re.error):
        return False
    return "%" in text
