"""Make the rows of a series regular: one row of all those of a period, and values for what is missing."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from components.readers.csv_format import CsvFormat, Fill, Method
from components.readers.csv_rows import Bad, Row, skipped
from components.readers.time_axis import Frequency

Rows = Iterator[Row | Bad]


@dataclass
class Changes:
    """What was done to the rows, counted.

    Attributes:
        filled: Values filled, by column.
        inserted: Rows inserted into gaps; their values count as filled, too.
        left_out: Rows left out at the start and at the end, because they can't be filled.
        merged: Rows that were made one with others, before.
        sizes: Smallest and largest number of rows that were made one.
        partial: Periods at the ends that were left out, since they aren't whole.
    """

    filled: Counter[str] = field(default_factory=Counter)
    inserted: int = 0
    left_out: int = 0
    merged: int = 0
    sizes: tuple[int, int] | None = None
    partial: int = 0


def regular(
    rows: Rows, columns: list[str], frequency: Frequency, form: CsvFormat, changes: Changes, future: bool = False
) -> Rows:
    """Resample and fill, as a stream, where `form` asks for it.

    Args:
        rows: As they were read. After something bad the series begins anew.
        columns: Of values, the target first.
        frequency: The step that rows shall have.
        form: What to do.
        changes: Counts what was done.
        future: Whether rows at the end without a target are those of the future, to be kept; else they are left out.
    """
    if form.resample:
        rows = _Resampled(columns, frequency, form.resample, changes).rows(rows)
    if form.fill:
        rows = _Filled(columns, frequency, form.fill, changes, future).rows(rows)
    return rows


class _Resampled:
    """One row of all those of a period."""

    def __init__(
        self, columns: list[str], frequency: Frequency, how: Method | dict[str, Method], changes: Changes
    ) -> None:
        self._frequency, self._changes = frequency, changes
        self._methods = [how[column] if isinstance(how, dict) else how for column in columns]

    def rows(self, rows: Rows) -> Rows:
        """Combine them."""
        self._begin()
        for row in rows:
            if isinstance(row, Bad):
                yield from self._finished()
                self._begin()
                yield row
                continue
            if self._time is not None and (row.time.tzinfo is None) != (self._time.tzinfo is None):
                yield Bad(row.line, "zone", f"{row.time} and the row before, {self._time}, don't both have a time zone")
                continue
            if self._time is not None and row.time < self._time:
                yield Bad(row.line, "order", f"times out of order: {row.time} after {self._time}")
                continue
            yield from self._add(row)
        yield from self._finished(last=True)

    def _begin(self) -> None:
        self._time: datetime | None = None
        self._step = timedelta(0)
        self._size = 0
        # Whether the period under way may lack rows at its start.
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
            self._kept = [math.nan] * len(row.values)
        self._size += 1
        for i, value in enumerate(row.values):
            if math.isnan(value):
                continue
            self._sums[i] += value
            method, kept = self._methods[i], self._kept[i]
            if not self._counts[i] or method == "last" or (method, value < kept) in (("min", True), ("max", False)):
                self._kept[i] = value
            self._counts[i] += 1

    def _move(self, time: datetime) -> None:
        """Go on to the period that `time` lies in; those of several units are counted from the first."""
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
        """The row of the period under way, if it has any and is whole."""
        if not self._size or self._time is None:
            return
        changes = self._changes
        if self._partial or (last and self._step and self._time + self._step < self._end):
            changes.partial += 1
        else:
            smallest, largest = changes.sizes or (self._size, self._size)
            changes.sizes = min(smallest, self._size), max(largest, self._size)
            changes.merged += self._size
            yield Row(self._line, self._label, [self._value(i) for i in range(len(self._sums))])
        self._partial, self._size = False, 0

    def _value(self, i: int) -> float:
        method, count = self._methods[i], self._counts[i]
        if method == "mean":
            return self._sums[i] / count if count else math.nan
        if method == "sum":
            # A sum of some would be too small.
            return self._sums[i] if count == self._size else math.nan
        return self._kept[i]


class _Filled:
    """Values for what is missing, where no more than `at_most` rows are missing in a row.

    Rows wait until what is missing of them is known. They are at most `at_most`.
    """

    def __init__(self, columns: list[str], frequency: Frequency, fill: Fill, changes: Changes, future: bool) -> None:
        self._columns, self._frequency, self._fill = columns, frequency, fill
        self._changes, self._future = changes, future
        self._season = frequency.season()
        self._begin()

    def _begin(self) -> None:
        self._waiting: deque[Row] = deque()
        # For each column, how many rows at the end lack it, and the last value before them.
        self._missing = [0] * len(self._columns)
        self._before = [math.nan] * len(self._columns)
        self._past: deque[Row] = deque(maxlen=self._season + self._fill.at_most + 1)

    def rows(self, rows: Rows) -> Rows:
        """Fill them."""
        skipped_at_start = 0
        for row in rows:
            if isinstance(row, Bad):
                yield from self._end()
                self._begin()
                yield row
                continue
            if not self._past and skipped_at_start < self._fill.at_most and any(map(math.isnan, row.values)):
                skipped_at_start += 1
                self._changes.left_out += 1
                continue
            for missing in self._gap(row):
                yield from self._add(missing)
            yield from self._add(row)
        yield from self._end(last=True)

    def _gap(self, row: Row) -> Iterable[Row]:
        """The rows that are missing before this one, if they aren't too many."""
        if not self._past or (row.time.tzinfo is None) != (self._past[-1].time.tzinfo is None):
            return
        time = self._past[-1].time
        count = skipped(time, row.time, self._frequency)
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
                self._give(i, self._missing[i], skip=1, after=value)
            self._missing[i] = 0
            self._before[i] = value
        waits = max((count for count in self._missing if count <= self._fill.at_most), default=0)
        while len(self._waiting) > waits:
            yield self._waiting.popleft()

    def _give(self, i: int, count: int, skip: int, after: float) -> None:
        """Fill a column of `count` rows, the last of `_past` but `skip`; NaN `after` them where nothing comes."""
        before, size = self._before[i], len(self._past)
        if math.isnan(before):
            return
        for n in range(count):
            place = size - skip - count + n
            value = before
            if self._fill.method == "linear" and not math.isnan(after):
                value = before + (after - before) * (n + 1) / (count + 1)
            elif self._fill.method == "seasonal" and place >= self._season:
                repeated = self._past[place - self._season].values[i]
                value = before if math.isnan(repeated) else repeated
            self._past[place].values[i] = value
            self._changes.filled[self._columns[i]] += 1

    def _end(self, last: bool = False) -> Rows:
        """What waits, at the end or before something bad. Rows without a target are of the future, or left out."""
        without = self._missing[0] if self._missing and self._missing[0] <= self._fill.at_most else 0
        for i, count in enumerate(self._missing[1:], 1):
            if without < count <= self._fill.at_most:
                self._give(i, count - without, skip=without, after=math.nan)
        rows = list(self._waiting)
        if last and not self._future and without:
            self._changes.left_out += without
            rows = rows[:-without]
        yield from rows
