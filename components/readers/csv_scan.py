"""Read a CSV series and find all of its problems. Each kind of problem has its count and its first line.

Where other options than the given ones would read the file, these are named. The file is then read once more with
them, so that the remaining problems are found in the same scan.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.readers import csv_guess
from components.readers.csv_format import CsvFormat, shortened
from components.readers.csv_leaks import Leaks
from components.readers.csv_regular import Changes, Rows, regularize
from components.readers.csv_rows import (
    Problem,
    Row,
    Table,
    count_missing,
    missing_column,
    open_text,
    read_fields,
    step_problem,
)
from components.readers.csv_series import group
from components.readers.time_axis import Frequency, seconds_of

_NUMBERS = ("decimal", "thousands", "strip")


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
    """

    path: Path
    name: str
    columns: list[str]
    known: list[str]
    frequency: Frequency
    lookback: int = 1
    horizon: int = 1
    static: Sequence[str] = ()


@dataclass
class _Kind:
    line: int
    text: str
    count: int = 0
    # The number of series that have it, and the last of them.
    series: int = 0
    last: str = ""


@dataclass
class Scan:
    """The result of a scan.

    Attributes:
        lines: A line for each problem.
        fixes: The options to change, so that more of the file can be read.
        rows: The number of rows, after resampling and filling.
        first: The time of the first row.
        last: The time of the last row.
        lacking: For each column, the most successive rows without a value, missing rows included.
        missing_rows: The number of missing rows in gaps.
        kinds: The count of each kind of problem, with the options that `fixes` changes.
        changes: The counts of resampled and filled rows.
        series: For each of many series, the times of its rows in seconds since 1970.
    """

    lines: list[str] = field(default_factory=list)
    fixes: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    lacking: Counter[str] = field(default_factory=Counter)
    missing_rows: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    series: dict[str, Sequence[int]] = field(default_factory=dict)


def scan(series_file: SeriesFile, form: CsvFormat) -> Scan:
    """Find all problems of a file.

    Raises:
        InputError: The file can't be read at all, for it doesn't exist or isn't text.
    """
    lines: list[str] = []
    fixes: dict[str, Any] = {}
    # Each round corrects one of the separator, times and numbers, the series, and the frequency.
    for _ in range(6):
        reading = _Reading(series_file, form)
        reading.read()
        new = reading.fixes()
        lines += [line for line in reading.fix_lines(new) if line not in lines]
        if not new:
            break
        fixes |= new
        if "frequency" in new:
            series_file = replace(series_file, frequency=Frequency(new["frequency"]))
        form = form.model_copy(update={key: value for key, value in new.items() if key != "frequency"})
    lines += [line for line in reading.lines() if line not in lines]
    result = reading.scan
    result.lines, result.fixes, result.kinds = lines, fixes, reading.kinds()
    return result


class _Reading:
    """One reading of a file."""

    def __init__(self, series_file: SeriesFile, form: CsvFormat) -> None:
        self._file, self._form, self._given = series_file, form, form
        self.scan = Scan()
        self._kinds: dict[str, _Kind] = {}
        self._header: list[str] = []
        self._found: list[dict[str, str]] = []
        self._columns: list[str] = []
        self._leaks: Leaks | None = None
        self._previous: Row | None = None
        self._begun = self._hinted = False
        # Of the current series where there are many: its name, its times, and the first value of each static column.
        self._name = ""
        self._times: list[int] = []
        self._static: dict[str, float] = {}
        # Whether the first row of the file has a time zone.
        self._zone: bool | None = None
        self._longest_gap = 0
        # The number of successive rows at the end that lack each column, and the largest such number.
        self._runs: Counter[str] = Counter()
        self._longest: Counter[str] = Counter()

    def read(self) -> None:
        """Read the file, and count its problems."""
        series_file = self._file
        with open_text(series_file.path, series_file.name) as file:
            lines = read_fields(file, self._form.separator)
            _, header = next(lines, (1, []))
            if isinstance(header, Problem):
                raise InputError(f"{series_file.name}: {header.text}")
            if not header:
                raise InputError(f"{series_file.name}: empty, expected a header and rows")
            self._header = header
            missing = [
                c for c in dict.fromkeys([*series_file.columns, *self._form.where]) if self._header.count(c) != 1
            ]
            for column in missing:
                self._add(1, f"no {column}", missing_column(self._header, column))
            if self._header.count(self._form.time) != 1:
                self._add(1, "no time", missing_column(self._header, self._form.time))
            if self._form.series and self._header.count(self._form.series) != 1:
                self._add(1, "no series", missing_column(self._header, self._form.series))
            if {"no time", "no series"} & self._kinds.keys():
                return
            self._columns = [column for column in series_file.columns if column not in missing]
            where = {column: value for column, value in self._form.where.items() if column not in missing}
            form = self._form = self._form.model_copy(update={"where": where})
            table = Table(self._header, self._columns, form)
            if series_file.columns[0] in self._columns:
                self._leaks = Leaks(self._columns, series_file.known, series_file.lookback, series_file.horizon)
            if not form.series:
                self._check_all(table.rows(lines))
            else:
                for name, rows in group(table.rows(lines), len(self._columns), series_file.name):
                    self._begin(name)
                    self._check_all(rows)
                    self._end()
        if not self.scan.rows and not self._kinds:
            seen = ", ".join(shortened(value) for value in table.seen)
            self._add(1, "none", f"where keeps no row; there are: {seen}" if seen else "no rows below the header")

    def _begin(self, name: str) -> None:
        """Begin with the next of many series."""
        self._name, self._times, self._static = name, [], {}
        self._previous, self._begun = None, False
        self._runs.clear()
        if self._leaks:
            self._leaks.begin()

    def _end(self) -> None:
        if not self._times:
            return
        first, step = self._times[0], self._file.frequency.seconds
        regular = range(first, first + len(self._times) * step, step) if step else array("q", self._times)
        self.scan.series[self._name] = regular

    def _check_all(self, rows: Rows) -> None:
        for row in regularize(rows, self._columns, self._file.frequency, self._form, self.scan.changes):
            self._check(row)

    def _check(self, row: Row | Problem) -> None:
        if isinstance(row, Problem):
            self._add(row.line, row.kind, row.text)
            if row.time is None or self._form.resample:
                self._previous = None
            else:
                self._check_time(Row(row.line, row.time, []))
            return
        self._check_time(row)
        scan = self.scan
        scan.rows += 1
        if self._name:
            self._check_of_many(row)
        else:
            scan.first, scan.last = scan.first or row.time, row.time
        if self._leaks:
            self._leaks.add(row.values)
        # The sum is NaN where a value is, and costs less than a look at each value.
        if not self._runs and not math.isnan(sum(row.values)):
            return
        for column, value in zip(self._columns, row.values, strict=True):
            if math.isnan(value):
                self._add(row.line, f"missing {column}", f"column '{column}': a missing value")
                self._lack(column, 1)
                self._longest[column] = max(self._longest[column], self._runs[column])
            else:
                self._runs.pop(column, None)

    def _check_of_many(self, row: Row) -> None:
        self._times.append(seconds_of(row.time))
        zone = row.time.tzinfo is not None
        self._zone = zone if self._zone is None else self._zone
        if len(self._times) == 1 and zone != self._zone:
            there, before = ("a", "none") if zone else ("no", "one")
            self._add(row.line, "zone", f"{row.time} has {there} time zone, series before it have {before}")
        for column in self._file.static:
            if column in self._columns:
                value = row.values[self._columns.index(column)]
                first = value if math.isnan(value) else self._static.setdefault(column, value)
                if value != first and not math.isnan(value):
                    text = f"static column '{column}': {value:g} after {first:g}, expected one value in a series"
                    self._add(row.line, f"static {column}", text)

    def _lack(self, column: str, rows: int) -> None:
        self._runs[column] += rows
        self.scan.lacking[column] = max(self.scan.lacking[column], self._runs[column])

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
        if kind == "duplicate" and before and before.values == row.values:
            kind, text = "same", f"the same row twice, at {row.time}"
        if kind == "gap" and before:
            gap = count_missing(before.time, row.time, frequency)
            self.scan.missing_rows += gap
            self._longest_gap = max(self._longest_gap, gap)
            for column in self._columns:
                self._lack(column, gap)
        self._add(row.line, kind, text)

    def _add(self, line: int, kind: str, text: str) -> None:
        if self._name:
            text = f"series '{shortened(self._name)}': {text}"
        found = self._kinds.setdefault(kind, _Kind(line, text))
        found.count += 1
        if found.last != self._name:
            found.series, found.last = found.series + 1, self._name

    def kinds(self) -> dict[str, int]:
        """The count of each kind of problem."""
        return {name: kind.count for name, kind in self._kinds.items()}

    def lines(self) -> list[str]:
        """A line for each problem of this reading."""
        leaks = self._leaks.problems() if self._leaks else []
        return [*map(self._line, self._kinds), *(f"{self._file.name}: {leak}" for leak in leaks)]

    def _line(self, kind: str, hint: str = "") -> str:
        problem = self._kinds[kind]
        within = f", in {problem.series:,} series" if problem.series else ""
        more = f" (the first of {problem.count:,}{within})" if problem.count > 1 else ""
        if kind == "gap":
            rows = self.scan.missing_rows
            missing = f"{rows:,} rows are missing" if rows > 1 else "1 row is missing"
            longest = f", {self._longest_gap:,} at most in a row" if problem.count > 1 else ""
            more = f"{more}: {missing}{longest}{self._fill_hint()}"
        elif kind.startswith("missing "):
            run = self._longest[kind.removeprefix("missing ")]
            more = f"{more}{f', {run:,} at most in a row' if problem.count > 1 else ''}{self._fill_hint()}"
        elif kind == "duplicate":
            more += "; resample makes one row of them"
        elif kind == "order" and problem.count > self.scan.rows / 2:
            more += f"; the newest row comes first: sort the rows by '{self._form.time}'"
        return f"{self._file.name}:{problem.line}: {problem.text}{more}{hint}"

    def _fill_hint(self) -> str:
        """The option that fills missing values, for the first line that needs it."""
        fill, lacking = self._form.fill, max(self.scan.lacking.values(), default=0)
        if self._hinted:
            return ""
        self._hinted = True
        if fill and lacking > fill.at_most:
            return f"; fill.at_most is {fill.at_most:,}, expected {lacking:,} or more"
        return (
            "; nothing before it to fill it from"
            if fill
            else f"; fill: {{method: linear, at_most: {lacking}}} fills it"
        )

    def fixes(self) -> dict[str, Any]:
        """The options to change, so that more of the file can be read."""
        series_file, form, kinds = self._file, self._form, self._kinds
        if not kinds:
            return {}
        if any(kind.startswith("no ") for kind in kinds):
            guess = csv_guess.separator_of(series_file.path, series_file.name, [form.time, *series_file.columns])
            if guess != form.separator and form.time in csv_guess.sample(series_file.path, series_file.name, guess)[0]:
                return {"separator": guess}
        if "no time" in kinds:
            return {}
        new: dict[str, Any] = {}
        header, rows = csv_guess.sample(series_file.path, series_file.name, form.separator)
        texts = {name: [row[header.index(name)] for row in rows] for name in [form.time, *self._columns]}
        if "time" in kinds:
            guessed = csv_guess.time_format_of(texts[form.time])
            if guessed is not None and (guessed or None) != form.time_format:
                new["time_format"] = guessed or None
        if any(kind.startswith("number ") for kind in kinds):
            new |= csv_guess.numbers_of({name: texts[name] for name in self._columns}, form)
        if not new and not form.series and {"order", "duplicate", "same"} & kinds.keys():
            self._found = csv_guess.series_columns(series_file.path, series_file.name, form, series_file.columns)
            if self._found:
                new["where"] = {**self._given.where, **self._found[0]}
        if not new and self._count("gap", "frequency") > self.scan.rows / 2:
            guessed = csv_guess.frequency_of([time for text in texts[form.time] if (time := self._time(text))])
            if guessed and Frequency(guessed).seconds != series_file.frequency.seconds:
                new["frequency"] = guessed
        return new

    def fix_lines(self, new: dict[str, Any]) -> list[str]:
        """A line for each problem that the options of `fixes` solve."""
        name = self._file.name
        if "separator" in new:
            problem = f"fields are separated by {new['separator']!r}, expected {self._form.separator!r}"
            return [f"{name}:1: {problem}; set separator: {json.dumps(new['separator'])}"]
        if "where" in new:
            series = [{shortened(k): shortened(v) for k, v in values.items()} for values in self._found]
            first = min(kind.line for key in ("order", "duplicate", "same") if (kind := self._kinds.get(key)))
            shown = ", ".join(" ".join(values.values()) for values in series[:5]) + (", …" if len(series) > 5 else "")
            names = " and ".join(f"'{column}'" for column in series[0])
            subject = f"column {names} tells" if len(series[0]) == 1 else f"columns {names} tell"
            keep = ", ".join(f"{column}: {value}" for column, value in series[0].items())
            problem = f"{len(series):,} series in one file: {subject} them apart ({shown})"
            together = f", or train on all with series: {next(iter(series[0]))}" if len(series[0]) == 1 else ""
            return [f"{name}:{first}: {problem}; keep one, such as where: {{{keep}}}{together}"]
        if "frequency" in new:
            kind = self._kinds.get("gap") or self._kinds["frequency"]
            given, words = self._file.frequency.words(), Frequency(new["frequency"]).words()
            problem = f"most rows come every {words}, not every {given}"
            return [f"{name}:{kind.line}: {problem}; set frequency: {new['frequency']}"]
        lines = []
        if "time_format" in new:
            text = json.dumps(new["time_format"], ensure_ascii=False)
            lines.append(self._line("time", f"; set time_format: {text}" if new["time_format"] else "; leave that out"))
        if options := " and ".join(f"{k}: {json.dumps(new[k], ensure_ascii=False)}" for k in _NUMBERS if k in new):
            lines += [self._line(kind, f"; set {options}") for kind in self._kinds if kind.startswith("number ")]
        return lines

    def _time(self, text: str) -> datetime | None:
        try:
            return self._form.parse_time(text)
        except InputError:
            return None

    def _count(self, *kinds: str) -> int:
        return sum(self._kinds[kind].count for kind in kinds if kind in self._kinds)
