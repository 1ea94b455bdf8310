"""Read a CSV series once, and find all that is wrong with it: each kind of problem with its count and first place.

Where the file is written otherwise than its options say, the options that would read it are named, and it is read
once more with them, so that what is behind comes with the rest.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.readers import csv_guess
from components.readers.csv_format import CsvFormat, shortened
from components.readers.csv_leaks import Leaks
from components.readers.csv_regular import Changes, regular
from components.readers.csv_rows import Bad, Row, Table, missing_column, opened, read_fields, skipped, step_problem
from components.readers.time_axis import Frequency

_NUMBERS = ("decimal", "thousands", "strip")


@dataclass(frozen=True)
class Wanted:
    """What is to be found in a file.

    Attributes:
        path: Where it is.
        name: Its name in messages.
        columns: Of values, the target first.
        known: Those that are known in the future.
        frequency: The step between rows.
        lookback: Rows that a model sees.
        horizon: Rows that it forecasts.
    """

    path: Path
    name: str
    columns: list[str]
    known: list[str]
    frequency: Frequency
    lookback: int = 1
    horizon: int = 1


@dataclass
class _Kind:
    line: int
    text: str
    count: int = 0


@dataclass
class Scan:
    """What was found.

    Attributes:
        lines: The problems, a line each.
        fixes: Options that would read what is written otherwise than the options say.
        rows: That are left when rows were resampled and gaps filled.
        first: The first row's time.
        last: The last row's.
        lacking: For each column, the most rows in a row that lack a value of it, missing rows among them.
        missing_rows: Rows that gaps lack.
        kinds: The kinds of problems that are left, and how often each is there.
        changes: What was resampled and filled.
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


def scan(wanted: Wanted, form: CsvFormat) -> Scan:
    """Find all problems.

    Raises:
        InputError: It can't be read at all: no such file, no text, no column of times.
    """
    lines: list[str] = []
    fixes: dict[str, Any] = {}
    # Each round finds one of the separator, times and numbers, the series, the frequency.
    for _ in range(6):
        once = _Pass(wanted, form)
        once.read()
        new = once.fixes()
        lines += [line for line in once.fixed(new) if line not in lines]
        if not new:
            break
        fixes |= new
        if "frequency" in new:
            wanted = replace(wanted, frequency=Frequency(new["frequency"]))
        form = form.model_copy(update={key: value for key, value in new.items() if key != "frequency"})
    lines += [line for line in once.lines() if line not in lines]
    found = once.scan
    found.lines, found.fixes, found.kinds = lines, fixes, once.kinds()
    return found


class _Pass:
    """One reading of the file."""

    def __init__(self, wanted: Wanted, form: CsvFormat) -> None:
        self._wanted, self._form, self._asked = wanted, form, form
        self.scan = Scan()
        self._kinds: dict[str, _Kind] = {}
        self._header: list[str] = []
        self._series: list[dict[str, str]] = []
        self._columns: list[str] = []
        self._leaks: Leaks | None = None
        self._previous: Row | None = None
        self._begun = self._told = False
        self._longest_gap = 0
        # For each column, how many rows at the end lack it, and the most that did.
        self._runs: Counter[str] = Counter()
        self._longest: Counter[str] = Counter()

    def read(self) -> None:
        """Count everything."""
        wanted = self._wanted
        with opened(wanted.path, wanted.name) as file:
            lines = read_fields(file, self._form.separator)
            _, header = next(lines, (1, []))
            if isinstance(header, Bad):
                raise InputError(f"{wanted.name}: {header.text}")
            self._header = header
            missing = [c for c in dict.fromkeys([*wanted.columns, *self._form.where]) if self._header.count(c) != 1]
            for column in missing:
                self._add(1, f"no {column}", missing_column(self._header, column))
            if self._header.count(self._form.time) != 1:
                self._add(1, "no time", missing_column(self._header, self._form.time))
                return
            self._columns = [column for column in wanted.columns if column not in missing]
            where = {column: value for column, value in self._form.where.items() if column not in missing}
            form = self._form = self._form.model_copy(update={"where": where})
            table = Table(self._header, self._columns, form)
            if wanted.columns[0] in self._columns:
                self._leaks = Leaks(self._columns, wanted.known, wanted.lookback, wanted.horizon)
            rows = regular(table.rows(lines), self._columns, wanted.frequency, form, self.scan.changes)
            for row in rows:
                self._look(row)
        if not self.scan.rows and not self._kinds:
            seen = ", ".join(shortened(value) for value in table.seen)
            self._add(1, "none", f"where keeps no row; there are: {seen}" if seen else "no rows below the header")

    def _look(self, row: Row | Bad) -> None:
        if isinstance(row, Bad):
            self._add(row.line, row.kind, row.text)
            if row.time is None or self._form.resample:
                self._previous = None
            else:
                self._step(Row(row.line, row.time, []))
            return
        self._step(row)
        scan = self.scan
        scan.rows += 1
        scan.first, scan.last = scan.first or row.time, row.time
        if self._leaks:
            self._leaks.add(row.values)
        # A sum with NaN is NaN.
        if not self._runs and not math.isnan(sum(row.values)):
            return
        for column, value in zip(self._columns, row.values, strict=True):
            if math.isnan(value):
                self._add(row.line, f"missing {column}", f"column '{column}': a missing value")
                self._lack(column, 1)
                self._longest[column] = max(self._longest[column], self._runs[column])
            else:
                self._runs.pop(column, None)

    def _lack(self, column: str, rows: int) -> None:
        self._runs[column] += rows
        self.scan.lacking[column] = max(self.scan.lacking[column], self._runs[column])

    def _step(self, row: Row) -> None:
        """Look at a row's time, beside that of the row before."""
        before, self._previous = self._previous, row
        if before is None and self._begun:
            return
        self._begun = True
        frequency = self._wanted.frequency
        problem = step_problem(row.time, before.time if before else None, frequency)
        if problem is None:
            return
        kind, text = problem
        if kind == "duplicate" and before and before.values == row.values:
            kind, text = "same", f"the same row twice, at {row.time}"
        if kind == "gap" and before:
            gap = skipped(before.time, row.time, frequency)
            self.scan.missing_rows += gap
            self._longest_gap = max(self._longest_gap, gap)
            for column in self._columns:
                self._lack(column, gap)
        self._add(row.line, kind, text)

    def _add(self, line: int, kind: str, text: str) -> None:
        self._kinds.setdefault(kind, _Kind(line, text)).count += 1

    def kinds(self) -> dict[str, int]:
        """How often each kind of problem is there."""
        return {kind: found.count for kind, found in self._kinds.items()}

    def lines(self) -> list[str]:
        """All problems of this reading."""
        leaks = self._leaks.problems() if self._leaks else []
        return [*map(self._line, self._kinds), *(f"{self._wanted.name}: {leak}" for leak in leaks)]

    def _line(self, kind: str, hint: str = "") -> str:
        found = self._kinds[kind]
        more = f" (the first of {found.count:,})" if found.count > 1 else ""
        if kind == "gap":
            rows = self.scan.missing_rows
            missing = f"{rows:,} rows are missing" if rows > 1 else "1 row is missing"
            longest = f", {self._longest_gap:,} at most in a row" if found.count > 1 else ""
            more = f"{more}: {missing}{longest}{self._fill()}"
        elif kind.startswith("missing "):
            run = self._longest[kind.removeprefix("missing ")]
            more = f"{more}{f', {run:,} at most in a row' if found.count > 1 else ''}{self._fill()}"
        elif kind == "duplicate":
            more += "; resample makes one row of them"
        elif kind == "order" and found.count > self.scan.rows / 2:
            more += f"; the newest row comes first: sort the rows by '{self._form.time}'"
        return f"{self._wanted.name}:{found.line}: {found.text}{more}{hint}"

    def _fill(self) -> str:
        """How to mend what is missing, once for all columns."""
        fill, lacking = self._form.fill, max(self.scan.lacking.values(), default=0)
        if self._told:
            return ""
        self._told = True
        if fill and lacking > fill.at_most:
            return f"; fill.at_most is {fill.at_most:,}, expected {lacking:,} or more"
        return (
            "; nothing before it to fill it from"
            if fill
            else f"; fill: {{method: linear, at_most: {lacking}}} fills it"
        )

    def fixes(self) -> dict[str, Any]:
        """Options with which more of the file can be read, or more is found in it."""
        wanted, form, kinds = self._wanted, self._form, self._kinds
        if not kinds:
            return {}
        if any(kind.startswith("no ") for kind in kinds):
            guess = csv_guess.separator_of(wanted.path, wanted.name, [form.time, *wanted.columns])
            if guess != form.separator and form.time in csv_guess.sample(wanted.path, wanted.name, guess)[0]:
                return {"separator": guess}
        if "no time" in kinds:
            return {}
        new: dict[str, Any] = {}
        header, rows = csv_guess.sample(wanted.path, wanted.name, form.separator)
        texts = {name: [row[header.index(name)] for row in rows] for name in [form.time, *self._columns]}
        if "time" in kinds:
            guessed = csv_guess.time_format_of(texts[form.time])
            if guessed is not None and (guessed or None) != form.time_format:
                new["time_format"] = guessed or None
        if any(kind.startswith("number ") for kind in kinds):
            new |= csv_guess.numbers_of({name: texts[name] for name in self._columns}, form)
        if not new and {"order", "duplicate", "same"} & kinds.keys():
            self._series = csv_guess.series_columns(wanted.path, wanted.name, form, wanted.columns)
            if self._series:
                new["where"] = {**self._asked.where, **self._series[0]}
        if not new and self._count("gap", "frequency") > self.scan.rows / 2:
            guessed = csv_guess.frequency_of([time for text in texts[form.time] if (time := self._time(text))])
            if guessed and Frequency(guessed).seconds != wanted.frequency.seconds:
                new["frequency"] = guessed
        return new

    def fixed(self, new: dict[str, Any]) -> list[str]:
        """The problems that `fixes` would mend, and how."""
        name = self._wanted.name
        if "separator" in new:
            there = f"fields are separated by {new['separator']!r}, expected {self._form.separator!r}"
            return [f"{name}:1: {there}; set separator: {json.dumps(new['separator'])}"]
        if "where" in new:
            series = [{shortened(k): shortened(v) for k, v in one.items()} for one in self._series]
            first = min(kind.line for key in ("order", "duplicate", "same") if (kind := self._kinds.get(key)))
            shown = ", ".join(" ".join(one.values()) for one in series[:5]) + (", …" if len(series) > 5 else "")
            names = " and ".join(f"'{column}'" for column in series[0])
            tell = f"column {names} tells" if len(series[0]) == 1 else f"columns {names} tell"
            keep = ", ".join(f"{column}: {value}" for column, value in series[0].items())
            apart = f"{len(series):,} series in one file: {tell} them apart ({shown})"
            return [f"{name}:{first}: {apart}; keep one, such as where: {{{keep}}}"]
        if "frequency" in new:
            kind = self._kinds.get("gap") or self._kinds["frequency"]
            given, words = self._wanted.frequency.words(), Frequency(new["frequency"]).words()
            often = f"most rows come every {words}, not every {given}"
            return [f"{name}:{kind.line}: {often}; set frequency: {new['frequency']}"]
        lines = []
        if "time_format" in new:
            said = json.dumps(new["time_format"], ensure_ascii=False)
            lines.append(self._line("time", f"; set time_format: {said}" if new["time_format"] else "; leave that out"))
        if how := " and ".join(f"{k}: {json.dumps(new[k], ensure_ascii=False)}" for k in _NUMBERS if k in new):
            lines += [self._line(kind, f"; set {how}") for kind in self._kinds if kind.startswith("number ")]
        return lines

    def _time(self, text: str) -> datetime | None:
        try:
            return self._form.parse_time(text)
        except InputError:
            return None

    def _count(self, *kinds: str) -> int:
        return sum(self._kinds[kind].count for kind in kinds if kind in self._kinds)
