"""Read a CSV series to its end, and count its problems by kind."""

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from components.common.errors import InputError
from components.readers.csv_format import CsvFormat, shortened
from components.readers.csv_leaks import Leaks
from components.readers.csv_regular import Changes, Rows, regularize
from components.readers.csv_rows import Problem, Row, Table, missing_column, open_text, read_fields
from components.readers.csv_series import group
from components.readers.time_axis import Frequency, count_missing, seconds_of, step_problem


@dataclass(frozen=True)
class SeriesFile:
    """A file, and the series that it should hold.

    Attributes:
        path: The file.
        name: The file's name in messages.
        columns: The columns of values, the target first.
        known: The columns that are known in the future.
        frequency: The time between two rows.
        lookback: The number of rows that a model sees.
        horizon: The number of rows that it forecasts.
        static: The columns that have one value in each of many series.
        keys: The columns of values that may tell series apart instead.
    """

    path: Path
    name: str
    columns: list[str]
    known: list[str]
    frequency: Frequency
    lookback: int = 1
    horizon: int = 1
    static: Sequence[str] = ()
    keys: Sequence[str] = ()


@dataclass
class Kind:
    """All problems of one kind.

    Attributes:
        line: The line of the first one.
        text: What the first one is.
        count: The number of problems.
        longest: The most successive rows that are missing or lack a value.
        series: The number of series that have such a problem; 0 where a file has one series.
        last: The last of these series.
    """

    line: int
    text: str
    count: int = 0
    longest: int = 0
    series: int = 0
    last: str = ""

    def __str__(self) -> str:
        """The first problem, with the number of all."""
        within = f", in {self.series:,} series" if self.series else ""
        return f"{self.text} (the first of {self.count:,}{within})" if self.count > 1 else self.text


@dataclass
class Found:
    """What was found in a file.

    Attributes:
        kinds: The problems by kind, in the order of the first of each.
        leaks: A line for each column that leaks the target.
        rows: The number of rows, after resampling and filling.
        first: The time of the first row.
        last: The time of the last row.
        lacking: For each column, the most successive rows without a value, missing rows included.
        missing_rows: The number of missing rows in gaps.
        changes: The counts of resampled and filled rows.
        series: For each of many series, the times of its rows in seconds since 1970.
    """

    kinds: dict[str, Kind] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    lacking: Counter[str] = field(default_factory=Counter)
    missing_rows: int = 0
    changes: Changes = field(default_factory=Changes)
    series: dict[str, Sequence[int]] = field(default_factory=dict)

    def add(self, line: int, kind: str, text: str, missing: int = 0, series: str = "") -> None:
        """Count a problem, with so many successive missing rows or values, in a series that has a name or none."""
        text = f"series '{shortened(series)}': {text}" if series else text
        all_of_kind = self.kinds.setdefault(kind, Kind(line, text))
        all_of_kind.count += 1
        all_of_kind.longest = max(all_of_kind.longest, missing)
        if all_of_kind.last != series:
            all_of_kind.series, all_of_kind.last = all_of_kind.series + 1, series

    def has(self, column: str) -> bool:
        """Whether the file has a wanted column, and has it once."""
        return f"no {column}" not in self.kinds


def read(series_file: SeriesFile, form: CsvFormat) -> Found:
    """Read a file to its end.

    Raises:
        InputError: The file can't be read at all, for it doesn't exist or isn't text.
    """
    found, name = Found(), series_file.name
    with open_text(series_file.path, name) as file:
        lines = read_fields(file, form.separator)
        _, header = next(lines, (1, []))
        if isinstance(header, Problem):
            raise InputError(f"{name}: {header.text}")
        if not header:
            raise InputError(f"{name}: empty, expected a header and rows")
        needed = [form.time, *filter(None, [form.series])]
        for column in dict.fromkeys([*series_file.columns, *form.where, *needed]):
            if header.count(column) != 1:
                found.add(1, f"no {column}", missing_column(header, column))
        if not all(map(found.has, needed)):
            return found
        # The others are read without the columns that aren't there.
        form = form.model_copy(update={"where": {name: v for name, v in form.where.items() if found.has(name)}})
        reading = _Reading(series_file, form, found)
        table = Table(header, reading.columns, form)
        all_rows = table.rows(lines)
        for series, rows in group(all_rows, len(reading.columns), name) if form.series else [("", all_rows)]:
            reading.begin(series)
            reading.check(rows)
    if not found.rows and not found.kinds:
        seen = ", ".join(map(shortened, table.seen))
        found.add(1, "none", f"where keeps no row; there are: {seen}" if seen else "no rows below the header")
    if reading.leaks:
        found.leaks = reading.leaks.problems()
    return found


class _Reading:
    """Compares each row of a file with those before it in its series."""

    def __init__(self, series_file: SeriesFile, form: CsvFormat, found: Found) -> None:
        self._file, self._form, self._found = series_file, form, found
        self.columns = [column for column in series_file.columns if found.has(column)]
        self.leaks: Leaks | None = None
        if series_file.columns[0] in self.columns:
            self.leaks = Leaks(self.columns, series_file.known, series_file.lookback, series_file.horizon)
        # Whether the first row of the file has a time zone.
        self._zone: bool | None = None

    def begin(self, name: str) -> None:
        """Begin with the next of many series, or with the only one, which has no name."""
        self._name = name
        self._previous: Row | None = None
        self._begun = False
        self._times: list[int] = []
        # The first value of each static column.
        self._static: dict[str, float] = {}
        # The number of successive rows at the end that lack each column.
        self._runs: Counter[str] = Counter()
        if self.leaks:
            self.leaks.begin()

    def check(self, rows: Rows) -> None:
        """Check all rows of a series."""
        for row in regularize(rows, self.columns, self._file.frequency, self._form, self._found.changes):
            if isinstance(row, Row):
                self._check(row)
                continue
            self._add(row.line, row.kind, row.text)
            if row.time is None or self._form.resample:
                self._previous = None
            else:
                self._check_time(Row(row.line, row.time, []))
        if self._times:
            first, step = self._times[0], self._file.frequency.seconds
            regular = range(first, first + len(self._times) * step, step) if step else array("q", self._times)
            self._found.series[self._name] = regular

    def _check(self, row: Row) -> None:
        self._check_time(row)
        found = self._found
        found.rows += 1
        if self._name:
            self._check_of_many(row)
        else:
            found.first, found.last = found.first or row.time, row.time
        if self.leaks:
            self.leaks.add(row.values)
        # The sum is NaN where a value is, and costs less than a look at each value.
        if not self._runs and not math.isnan(sum(row.values)):
            return
        for column, value in zip(self.columns, row.values, strict=True):
            if math.isnan(value):
                self._lack(column, 1)
                self._add(row.line, f"missing {column}", f"column '{column}': a missing value", self._runs[column])
            else:
                self._runs.pop(column, None)

    def _check_of_many(self, row: Row) -> None:
        self._times.append(seconds_of(row.time))
        zone = row.time.tzinfo is not None
        self._zone = zone if self._zone is None else self._zone
        if len(self._times) == 1 and zone != self._zone:
            there, before = ("a", "none") if zone else ("no", "one")
            self._add(row.line, "zone", f"{row.time} has {there} time zone, series before it have {before}")
        for column in filter(self._found.has, self._file.static):
            value = row.values[self.columns.index(column)]
            if not math.isnan(value) and value != (first := self._static.setdefault(column, value)):
                text = f"static column '{column}': {value:g} after {first:g}, expected one value in a series"
                self._add(row.line, f"static {column}", text)

    def _check_time(self, row: Row) -> None:
        """Compare a row's time with that of the row before."""
        before, self._previous = self._previous, row
        if before is None and self._begun:
            return
        self._begun = True
        frequency = self._file.frequency
        problem = step_problem(row.time, before.time if before else None, frequency)
        if problem is None:
            return
        kind, text = problem
        missing = 0
        if kind == "duplicate" and before and before.values == row.values:
            kind, text = "same", f"the same row twice, at {row.time}"
        if kind == "gap" and before:
            missing = count_missing(before.time, row.time, frequency)
            self._found.missing_rows += missing
            for column in self.columns:
                self._lack(column, missing)
        self._add(row.line, kind, text, missing)

    def _lack(self, column: str, rows: int) -> None:
        self._runs[column] += rows
        self._found.lacking[column] = max(self._found.lacking[column], self._runs[column])

    def _add(self, line: int, kind: str, text: str, missing: int = 0) -> None:
        self._found.add(line, kind, text, missing, self._name)
