"""A time series of the user's own, from a CSV file with a header.

The file is read a line at a time, so memory doesn't grow with it.
"""

import csv
import difflib
import math
from collections.abc import Iterator
from datetime import datetime

from components.data_files import local
from components.errors import InputError
from components.files import sha256
from components.records import Row, Series
from components.spec import Facts, SeriesOptions
from components.time_axis import Frequency

TASK = "forecasting"


class Options(SeriesOptions):
    """Options of a CSV series.

    Attributes:
        path: The file, relative to the folder that the command is started in; or gs://bucket/file.
        time: The column of times.
        target: The column to forecast.
        covariates: Columns that are known up to the time of the forecast.
        known: Columns that are known in the future too (holidays, prices set in advance).
        frequency: Step between rows as pandas writes it, such as 30min, h, D, B, W-FRI, MS (months), M (last days).
        time_format: Of the time column, as strptime takes it; ISO 8601 where it isn't given.
        unit: The target's unit, for tables and plots.
    """

    path: str
    time: str
    target: str
    covariates: list[str] = []
    known: list[str] = []
    frequency: str
    time_format: str | None = None
    unit: str = ""

    def columns(self) -> list[str]:
        """The columns of values, the target first."""
        return [self.target, *self.covariates, *self.known]


def check(options: Options) -> Facts:
    """Read the whole file once.

    Raises:
        InputError: The file, a column, a line or a value is not as the options say.
    """
    rows = sum(1 for _ in _rows(options))
    return Facts(fingerprint=sha256([local(options.path)]), bytes=rows * (100 + 8 * len(options.columns())), rows=rows)


def read(options: Options) -> Series:
    """Read the series, with the checks of `check`."""
    return Series(
        columns=options.columns(),
        known=options.known,
        frequency=options.frequency,
        unit=options.unit,
        time=options.time,
        time_format=options.time_format,
        rows=lambda: _rows(options),
    )


def _rows(options: Options) -> Iterator[Row]:
    frequency = Frequency(options.frequency)
    columns = options.columns()
    if repeated := {name for name in columns if columns.count(name) > 1}:
        raise InputError(f"{options.path}: column '{repeated.pop()}' is named twice in the options")
    try:
        with local(options.path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            places = [place(header, name, options.path) for name in [options.time, *columns]]
            previous: datetime | None = None
            for fields in reader:
                if not fields:
                    continue
                where = f"{options.path}:{reader.line_num}"
                if len(fields) != len(header):
                    raise InputError(f"{where}: {len(fields)} fields where the header has {len(header)}")
                time = parse_time(fields[places[0]], options.time, options.time_format, where)
                follows(time, previous, frequency, where)
                previous = time
                values = [number(fields[p], name, where) for p, name in zip(places[1:], columns, strict=True)]
                yield time, values
            if previous is None:
                raise InputError(f"{options.path}: no rows below the header")
    except OSError as error:
        raise InputError(f"{options.path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{options.path}: not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{options.path}:{reader.line_num}: {error}") from None


def place(header: list[str], name: str, path: str) -> int:
    """Where a column is.

    Raises:
        InputError: It isn't there, or more than once.
    """
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise InputError(f"{path}:1: column '{name}' is there {header.count(name)} times")
    near = difflib.get_close_matches(name, header, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(header) or 'none'}"
    raise InputError(f"{path}:1: no column '{name}'; {hint}")


def parse_time(text: str, column: str, time_format: str | None, where: str) -> datetime:
    """A field of the time column, as `time_format` says, or ISO 8601.

    Raises:
        InputError: It is no such time.
    """
    try:
        if time_format is None:
            return datetime.fromisoformat(text)
        return datetime.strptime(text, time_format)
    except ValueError:
        wanted = time_format or "ISO 8601, such as 2014-01-31T13:30 (or set time_format)"
        raise InputError(f"{where}: column '{column}': '{text}' is not a time as {wanted}") from None


def follows(time: datetime, previous: datetime | None, frequency: Frequency, where: str) -> None:
    """Check that a row is one step after the row before; the first row has none before it.

    Raises:
        InputError: It isn't.
    """
    if previous is None:
        return
    if (time.tzinfo is None) != (previous.tzinfo is None):
        raise InputError(f"{where}: {time} and the row before, {previous}, don't both have a time zone")
    try:
        expected = frequency.next(previous)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: no time one step of {frequency.text} after {previous}: {error}") from None
    if time == expected:
        return
    if time == previous:
        problem = "duplicate time"
    elif time < previous:
        problem = "times out of order"
    else:
        problem = "gap" if time > expected else "off the frequency"
    raise InputError(f"{where}: {problem}: {time} after {previous}, expected {expected} ({frequency.text})")


def number(text: str, column: str, where: str) -> float:
    """A field of a column of values.

    Raises:
        InputError: It is empty, not a number, or not a finite one.
    """
    try:
        value = float(text)
    except ValueError:
        what = f"'{text}' is not a number" if text.strip() else "a missing value"
        raise InputError(f"{where}: column '{column}': {what}") from None
    if not math.isfinite(value):
        raise InputError(f"{where}: column '{column}': {text.strip()} is not a finite number")
    return value
