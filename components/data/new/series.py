"""Read new series: the rows of CSV files or of TFRecords, and the windows that a model sees of them."""

import itertools
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

import numpy as np

from components.artifacts.dataset import SeriesInfo
from components.common.errors import InputError
from components.common.quiet import import_tensorflow
from components.common.words import counted
from components.data.new.example import Example, Failure
from components.data.new.files import File, is_tfrecord, named_files, records
from components.readers.csv_format import shortened
from components.readers.csv_regular import Changes, regularize
from components.readers.csv_rows import Problem, Table, open_text, read_fields
from components.readers.csv_rows import Row as CsvRow
from components.readers.csv_series import group
from components.readers.time_axis import Frequency, calendar_values, step_problem

_SHARD = re.compile(r"-\d{5}(-of-\d{5})?$")


@dataclass(frozen=True)
class Row:
    """A row of a series.

    Attributes:
        id: The file, and the number of the line (from 1) or of the record (from 0).
        time: The row's time.
        values: The values in the order of the data set's stored rows. A row of the future has no target (NaN), and only
            the values that are known ahead.
    """

    id: str
    time: datetime
    values: list[float]

    @property
    def future(self) -> bool:
        """Whether the row belongs to the future, for it has no target."""
        return math.isnan(self.values[0])


Rows = Iterator[Row | Failure]


def read_windows(
    path: Path, info: SeriesInfo, every: bool, changes: Changes | None = None
) -> Iterator[Example | Failure]:
    """Read the windows of the series in a file or a folder.

    Args:
        path: The file or folder, as `find_files` returns it. Each CSV file is a series, and so are TFRecord shards of
            one name together. Where the model is one of many series, a CSV file has any number of them.
        info: The description of the model's data set.
        every: Whether every window is read. Otherwise only the last window of each series is, whose forecast comes
            after the series' last row.
        changes: The counts of filled values and rows, which are updated while the windows are read.

    Yields:
        Examples with `window`, float32 [lookback, columns], and `future`, float32 [horizon, known], where columns
        are known ahead. Their ids are those of the windows' last rows.
    """
    for name, series, rows in read_series(path, info, changes):
        if info.series and not series:
            yield from (row for row in rows if isinstance(row, Failure))
            continue
        for found in _Windows(name, info, every).cut(rows):
            if isinstance(found, Example):
                yield replace(found, series=series) if series else found
            else:
                yield Failure(found.id, f"series '{shortened(series)}': {found.reason}") if series else found


def read_series(path: Path, info: SeriesInfo, changes: Changes | None = None) -> Iterator[tuple[str, str, Rows]]:
    """Read each series: the name of its file, its own name where a file has many, and its rows, which may have gaps.

    The counts of filled values and rows in `changes` are updated while the rows are read.
    """
    changes = changes or Changes()
    for name, files in itertools.groupby(named_files(path, "forecasting"), key=lambda file: _SHARD.sub("", file[0])):
        parts = list(files)
        if is_tfrecord(parts[0][0]):
            yield name, "", _records(parts, info)
        elif info.series:
            for series, rows in itertools.groupby(_lines(*parts[0], info, changes), key=itemgetter(0)):
                yield name, series, (row for _, row in rows)
        else:
            yield name, "", (row for _, row in _lines(*parts[0], info, changes))


class _Windows:
    """Cuts windows out of rows that follow each other without a gap. Each gap is a failure."""

    def __init__(self, name: str, info: SeriesInfo, every: bool) -> None:
        self._name, self._info, self._every = name, info, every
        self._frequency = Frequency(info.frequency)
        self._calendar = info.stored[len(info.columns) :]
        # The known columns whose future values have to stand in rows, for they can't be computed from the time.
        self._given = [column for column in info.known if column not in self._calendar]
        self._ahead = info.horizon if self._given else 0
        self._rows: deque[Row] = deque(maxlen=info.lookback + self._ahead)

    def cut(self, rows: Rows) -> Iterator[Example | Failure]:
        previous: datetime | None = None
        future, any_window = 0, False
        for row in rows:
            if isinstance(row, Failure):
                yield row
                self._rows.clear()
                previous, future = None, 0
                continue
            problem = step_problem(row.time, previous, self._frequency)
            if future and not row.future and not problem:
                problem = "order", f"{self._info.columns[0]} goes on after rows without it"
            if problem:
                yield Failure(row.id, problem[1])
                self._rows.clear()
                future = 0
            previous = row.time
            future += row.future
            if row.future and future > self._ahead:
                continue
            self._rows.append(row)
            if self._every and self._whole():
                yield self._window()
                any_window = True
        if not self._every and self._whole() and future >= self._ahead:
            yield self._window()
        elif not any_window:
            yield self._missing(future)

    def _whole(self) -> bool:
        """Whether the rows are a window, with the rows of its future where these are needed."""
        return len(self._rows) == self._rows.maxlen and not self._rows[self._info.lookback - 1].future

    def _window(self) -> Example | Failure:
        rows, info = list(self._rows), self._info
        past = rows[: info.lookback]
        inputs = {"window": np.array([row.values[: len(info.columns)] for row in past], np.float32)}
        try:
            if self._given:
                ahead = rows[info.lookback :]
                times = [row.time for row in ahead]
                inputs["future"] = np.array([row.values for row in ahead], np.float32)[:, info.known_places()]
            else:
                times = self._times_after(past[-1].time)
                if info.known:
                    _check_calendar(past[-1], info)
                    inputs["future"] = np.array([calendar_values(time, info.calendar()) for time in times], np.float32)
        except InputError as error:
            return Failure(past[-1].id, str(error))
        return Example(past[-1].id, lambda: inputs, times)

    def _times_after(self, time: datetime) -> list[datetime]:
        times = []
        for _ in range(self._info.horizon):
            try:
                time = self._frequency.next(time)
            except (ValueError, OverflowError) as error:
                raise InputError(f"no time one step of {self._frequency.text} after {time}: {error}") from None
            times.append(time)
        return times

    def _missing(self, future: int) -> Failure:
        lookback, target = self._info.lookback, self._info.columns[0]
        past = len([row for row in self._rows if not row.future])
        if past < lookback or self._every:
            needed = lookback + (self._ahead if self._every else 0)
            return Failure(self._name, f"{counted(past, 'row')} without a gap at its end, expected {needed} or more")
        names, rows = ", ".join(self._given), counted(future, "row")
        return Failure(
            self._name,
            f"{rows} without {target} at its end, expected {self._ahead} that tell {names} of the future "
            f"(none are needed with --every-window)",
        )


def _check_calendar(row: Row, info: SeriesInfo) -> None:
    """Refuse a record whose calendar is of another time zone than UTC, for records don't store their time zone."""
    stored = row.values[len(info.columns) :]
    if not np.allclose(stored, calendar_values(row.time, info.calendar()), atol=1e-4):
        raise InputError("the calendar's columns are of a time zone that records don't keep; give the series as CSV")


def _lines(name: str, file: Path, info: SeriesInfo, changes: Changes) -> Iterator[tuple[str, Row | Failure]]:
    """The rows of a CSV file, series by series, each with the name of its series: "" where a file is one series."""
    try:
        with open_text(file, name) as stream:
            lines = read_fields(stream, info.separator)
            _, header = next(lines, (1, []))
            if isinstance(header, Problem):
                yield "", Failure(f"{name}:1", header.text)
                return
            try:
                table = Table(header, info.columns, info)
            except InputError as error:
                hint = f"; fields are separated by {info.separator!r} in the training data" if len(header) == 1 else ""
                yield "", Failure(f"{name}:1", "; ".join(error.problems) + hint)
                return
            rows, any_row = table.rows(lines), False
            parts = group(rows, len(info.columns), name) if info.series else [("", rows)]
            for series, own in parts:
                for row in regularize(own, info.columns, Frequency(info.frequency), info, changes, future=True):
                    yield series, _row(row, info, f"{name}:{row.line}")
                    any_row = True
            if not any_row and table.seen:
                yield "", Failure(name, f"where keeps no row; there are: {', '.join(map(shortened, table.seen))}")
    except InputError as error:
        yield "", Failure(name, str(error).removeprefix(f"{name}: "))


def _row(row: CsvRow | Problem, info: SeriesInfo, where: str) -> Row | Failure:
    if isinstance(row, Problem):
        return Failure(where, row.text)
    future = math.isnan(row.values[0])
    for column, value in zip(info.columns, row.values, strict=True):
        if math.isnan(value) and (column in info.known or not future):
            return Failure(where, f"column '{column}': a missing value")
    return Row(where, row.time, [*row.values, *calendar_values(row.time, info.calendar())])


def _records(files: list[File], info: SeriesInfo) -> Rows:
    if info.series:
        yield Failure(files[0][0], f"records don't tell the names of series; give CSV with the column '{info.series}'")
        return
    tf = import_tensorflow()
    for name, file in files:
        for i, record in enumerate(records(name, file)):
            if isinstance(record, Failure):
                yield record
                continue
            where = f"{name}:{i}"
            try:
                features = tf.train.Example.FromString(record).features.feature
                seconds, values = features["time"].int64_list.value[0], list(features["values"].float_list.value)
            except Exception:  # protobuf's DecodeError, or an IndexError
                yield Failure(where, "not a record of a series, expected the features 'time' and 'values'")
                continue
            if len(values) != len(info.stored) or not all(map(math.isfinite, values)):
                yield Failure(where, f"{len(values)} values, expected {len(info.stored)} finite ones: {info.stored}")
                continue
            yield Row(where, datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None), values)
