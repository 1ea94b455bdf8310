"""Group the rows of many series in one CSV file, in whatever order they stand there.

The rows are written to a scratch file, so that memory doesn't grow with their number.
"""

import errno
import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import IO

import numpy as np

from components.common.errors import InputError
from components.readers.csv_rows import Problem, Row

MOST_SERIES = 1_000_000
# The number of rows that are sorted together.
_SORTED = 1 << 17
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
# These values stand for a time that can't be read, and for a time without a zone.
_NO_TIME = np.iinfo(np.int64).min
_NO_ZONE = np.iinfo(np.int32).min


def group(rows: Iterable[Row | Problem], columns: int, name: str) -> Iterator[tuple[str, Iterator[Row | Problem]]]:
    """Group rows by their series. Within a series they stay in the order of the file.

    Args:
        rows: The rows and problems as they were read.
        columns: The number of columns of values.
        name: The file's name in messages.

    Yields:
        The name of each series, in sorted order, and its rows, which have to be read before the next series. Problems
        of lines without a series come first, under the name "".

    Raises:
        InputError: There are more series than MOST_SERIES, or the disk has no room for the scratch file.
    """
    try:
        with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as problems:
            yield from _Grouped(rows, columns, name, file, problems).series()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        folder = tempfile.gettempdir()
        raise InputError(f"{folder}: no room to group the series of {name}; set TMPDIR to a folder with more") from None


class _Grouped:
    def __init__(
        self, rows: Iterable[Row | Problem], columns: int, name: str, file: IO[bytes], problems: IO[bytes]
    ) -> None:
        # The numbers of the series, of the line, and of the problem's place; the time, its zone, and the values.
        self._row = struct.Struct(f"<iqqqi{columns}d")
        self._numbers: dict[str, int] = {}
        self._name, self._nothing = name, [np.nan] * columns
        self._file, self._problems = file, problems
        # For each sorted part of the scratch file, its first byte and the first row of each of its series.
        self._parts: list[tuple[int, np.ndarray]] = []
        remaining = iter(rows)
        while data := b"".join(map(self._stored, islice(remaining, _SORTED))):
            part = np.frombuffer(data, np.dtype([("series", "<i4"), ("rest", f"V{self._row.size - 4}")]))
            counts = np.bincount(part["series"], minlength=len(self._numbers))
            self._parts.append((self._file.tell(), np.concatenate([[0], counts.cumsum()])))
            self._file.write(part[np.argsort(part["series"], kind="stable")].tobytes())
        self._file.flush()

    def series(self) -> Iterator[tuple[str, Iterator[Row | Problem]]]:
        for name in sorted(self._numbers):
            yield name, self._rows(name, self._numbers[name])

    def _stored(self, row: Row | Problem) -> bytes:
        number = self._numbers.setdefault(row.series, len(self._numbers))
        if number == MOST_SERIES:
            raise InputError(f"{self._name}:{row.line}: more than {MOST_SERIES:,} series")
        time, zone = _NO_TIME, _NO_ZONE
        if row.time is not None:
            if (offset := row.time.utcoffset()) is not None:
                zone = offset // _SECOND
            time = (row.time.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        if isinstance(row, Row):
            return self._row.pack(number, row.line, -1, time, zone, *row.values)
        place = self._problems.tell()
        self._problems.write(json.dumps([row.kind, row.text]).encode() + b"\n")
        return self._row.pack(number, row.line, place, time, zone, *self._nothing)

    def _rows(self, name: str, number: int) -> Iterator[Row | Problem]:
        for first_byte, first_rows in self._parts:
            if number + 1 >= len(first_rows):
                continue
            start, end = (int(first_rows[i]) for i in (number, number + 1))
            size = self._row.size
            data = os.pread(self._file.fileno(), (end - start) * size, first_byte + start * size)
            for _, line, problem, time, zone, *values in self._row.iter_unpack(data):
                moment = _moment(time, zone)
                if problem < 0 and moment is not None:
                    yield Row(line, moment, values, name)
                else:
                    self._problems.seek(problem)
                    kind, text = json.loads(self._problems.readline())
                    yield Problem(line, kind, text, moment, name)


def _moment(time: int, zone: int) -> datetime | None:
    if time == _NO_TIME:
        return None
    moment = _EPOCH + timedelta(microseconds=time)
    if zone == _NO_ZONE:
        return moment
    return moment.replace(tzinfo=timezone(timedelta(seconds=zone)) if zone else UTC)
