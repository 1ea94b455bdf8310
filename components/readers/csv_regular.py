"""Make the rows of a series regular: combine the rows of each period, and fill missing values."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from components.readers.csv_format import CsvFormat, Fill, Method
from components.readers.csv_rows import Problem, Row
from components.readers.time_axis import Frequency, count_missing

Rows = Iterator[Row | Problem]


@dataclass
class Changes:
    """The counts of changes to the rows.

    Attributes:
        filled: The number of filled values of each column.
        inserted: The number of rows inserted into gaps. Their values count as filled, too.
        left_out: The number of rows left out at the start and at the end, which can't be filled.
        sizes: The smallest and the largest number of rows that were combined to one.
        partial: The number of periods at the ends that were left out, for they aren't whole.
    """

    filled: Counter[str] = field(default_factory=Counter)
    inserted: int = 0
    left_out: int = 0
    sizes: tuple[int, int] | None = None
    partial: int = 0


def regularize(
    rows: Rows, columns: list[str], frequency: Frequency, form: CsvFormat, changes: Changes, future: bool = False
) -> Rows:
    """Resample and fill a stream of rows, where `form` says so.

    Args:
        rows: The rows as they were read. After a problem, the series begins anew.
        columns: The columns of values, the target first.
        frequency: The time between two rows.
        form: The format of the file, with `resample` and `fill`.
        changes: The counts, which are updated.
        future: Whether rows at the end without a target belong to the future, and are kept. Otherwise they are left
            out.
    """
    if form.resample:
        rows = _Resampled(columns, frequency, form.resample, changes).rows(rows)
    if form.fill:
        rows = _Filled(columns, frequency, form.fill, changes, future).rows(rows)
    return rows


class _Resampled:
    """Combines the rows of each period to one."""

    def __init__(
        self, columns: list[str], frequency: Frequency, how: Method | dict[str, Method], changes: Changes
    ) -> None:
        self._frequency, self._changes = frequency, changes
        self._methods = [how[column] if isinstance(how, dict) else how for column in columns]

    def rows(self, rows: Rows) -> Rows:
        """Combine the rows."""
        self._begin()
        for row in rows:
            if isinstance(row, Problem):
                yield from self._finished()
                self._begin()
                yield row
            elif self._time is not None and (row.time.tzinfo is None) != (self._time.tzinfo is None):
                text = f"{row.time} and the row before, {self._time}, don't both have a time zone"
                yield Problem(row.line, "zone", text)
            elif self._time is not None and row.time < self._time:
                yield Problem(row.line, "order", f"times out of order: {row.time} after {self._time}")
            else:
                yield from self._add(row)
        yield from self._finished(last=True)

    def _begin(self) -> None:
        self._time: datetime | None = None
        self._step = timedelta(0)
        self._size = 0
        # Whether the current period may lack rows at its start.
        self._partial = False

    def _add(self, row: Row) -> Rows:
        if self._time is None:
            self._label, self._start, self._end = self._frequency.period(row.time)
            self._first = row.time
            self._partial = row.time > self._start
        else:
            self._step = row.time - self._time or self._step
        if self._time == self._first and self._step:
            self._partial = self._first - self._step >= self._start
        if row.time >= self._end:
            yield from self._finished()
            self._move(row.time)
        self._time = row.time
        if not self._size:
            self._line = row.line
            self._sums = [0.0] * len(row.values)
            self._counts = [0] * len(row.values)
            self._chosen = [math.nan] * len(row.values)
        self._size += 1
        for i, value in enumerate(row.values):
            if math.isnan(value):
                continue
            self._sums[i] += value
            method, chosen = self._methods[i], self._chosen[i]
            if not self._counts[i] or method == "last" or (method, value < chosen) in (("min", True), ("max", False)):
                self._chosen[i] = value
            self._counts[i] += 1

    def _move(self, time: datetime) -> None:
        """Go on to the period that `time` lies in. Periods of several units are counted from the first one."""
        frequency = self._frequency
        if frequency.seconds:
            step = timedelta(seconds=frequency.seconds)
            self._label = self._start = self._start + (time - self._start) // step * step
            self._end = self._start + step
        elif frequency.count == 1:
            self._label, self._start, self._end = frequency.period(time)
        while time >= self._end:
            last_day = self._label != self._start
            self._label, self._start = frequency.next(self._label), self._end
            self._end = self._label + timedelta(days=1) if last_day else frequency.next(self._label)

    def _finished(self, last: bool = False) -> Rows:
        """The row of the current period, where the period has rows and is whole."""
        if not self._size or self._time is None:
            return
        changes = self._changes
        if self._partial or (last and self._step and self._time + self._step < self._end):
            changes.partial += 1
        else:
            smallest, largest = changes.sizes or (self._size, self._size)
            changes.sizes = min(smallest, self._size), max(largest, self._size)
            yield Row(self._line, self._label, [self._value(i) for i in range(len(self._sums))])
        self._partial, self._size = False, 0

    def _value(self, i: int) -> float:
        method, count = self._methods[i], self._counts[i]
        if method == "mean":
            return self._sums[i] / count if count else math.nan
        if method == "sum":
            # A sum of only some of the rows would be too small.
            return self._sums[i] if count == self._size else math.nan
        return self._chosen[i]


class _Filled:
    """Fills missing values, where at most `at_most` of them follow each other.

    A row with a missing value waits until the next value is known. At most `at_most` rows wait.
    """

    def __init__(self, columns: list[str], frequency: Frequency, fill: Fill, changes: Changes, future: bool) -> None:
        self._columns, self._frequency, self._fill = columns, frequency, fill
        self._changes, self._future = changes, future
        self._season = frequency.season()
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Row] = deque()
        # The number of rows at the end that lack each column, and the column's last value before them.
        self._missing = [0] * len(self._columns)
        self._before = [math.nan] * len(self._columns)
        self._past: deque[Row] = deque(maxlen=self._season + self._fill.at_most + 1)

    def rows(self, rows: Rows) -> Rows:
        """Fill the rows."""
        skipped_at_start = 0
        for row in rows:
            if isinstance(row, Problem):
                yield from self._end()
                self._begin()
                yield row
            elif not self._past and skipped_at_start < self._fill.at_most and any(map(math.isnan, row.values)):
                skipped_at_start += 1
                self._changes.left_out += 1
            else:
                for each in (*self._gap(row), row):
                    yield from self._add(each)
        yield from self._end(last=True)

    def _gap(self, row: Row) -> Iterable[Row]:
        """The missing rows before this one, where they aren't too many."""
        if not self._past or (row.time.tzinfo is None) != (self._past[-1].time.tzinfo is None):
            return
        time = self._past[-1].time
        count = count_missing(time, row.time, self._frequency)
        if 0 < count <= self._fill.at_most:
            self._changes.inserted += count
            for _ in range(count):
                time = self._frequency.next(time)
                yield Row(row.line, time, [math.nan] * len(row.values))

    def _add(self, row: Row) -> Rows:
        row = replace(row, values=list(row.values))
        self._waiting.append(row)
        self._past.append(row)
        for i, value in enumerate(row.values):
            if math.isnan(value):
                self._missing[i] += 1
                continue
            if 0 < self._missing[i] <= self._fill.at_most:
                self._fill_column(i, self._missing[i], skip=1, after=value)
            self._missing[i] = 0
            self._before[i] = value
        count = max((count for count in self._missing if count <= self._fill.at_most), default=0)
        while len(self._waiting) > count:
            yield self._waiting.popleft()

    def _fill_column(self, i: int, count: int, skip: int, after: float) -> None:
        """Fill column `i` of `count` rows of `_past`, which end before its last `skip` rows.

        `after` is the column's next value, or NaN at the end.
        """
        before, size = self._before[i], len(self._past)
        if math.isnan(before):
            return
        for n in range(count):
            position = size - skip - count + n
            value = before
            if self._fill.method == "linear" and not math.isnan(after):
                value = before + (after - before) * (n + 1) / (count + 1)
            elif self._fill.method == "seasonal" and position >= self._season:
                repeated = self._past[position - self._season].values[i]
                value = before if math.isnan(repeated) else repeated
            self._past[position].values[i] = value
            self._changes.filled[self._columns[i]] += 1

    def _end(self, last: bool = False) -> Rows:
        """The rows that wait, at the end or before a problem. Last rows without a target are the future or left out."""
        without = self._missing[0] if self._missing and self._missing[0] <= self._fill.at_most else 0
        for i, count in enumerate(self._missing[1:], 1):
            if without < count <= self._fill.at_most:
                self._fill_column(i, count - without, skip=without, after=math.nan)
        rows = list(self._waiting)
        if last and not self._future and without:
            self._changes.left_out += without
            rows = rows[:-without]
        yield from rows
