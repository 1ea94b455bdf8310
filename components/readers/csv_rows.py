"""The rows of a CSV file, one after the other, so that memory doesn't grow with the file."""

import csv
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

from components.common.errors import InputError
from components.readers.csv_format import CsvFormat, shortened
from components.readers.time_axis import Frequency

LONGEST_LINE = 1 << 20
MOST_COLUMNS = 10_000
_NAMES = 20
_MOST_STEPS = 100_000


@dataclass(slots=True)
class Row:
    """A row that could be read.

    Attributes:
        line: Where it is in the file, from 1; one that was made of several is where the first of them is.
        time: Its time.
        values: Of each column; NaN where a value is missing.
    """

    line: int
    time: datetime
    values: list[float]


@dataclass(frozen=True, slots=True)
class Bad:
    """Something of a file that can't be used.

    Attributes:
        line: Where, from 1.
        kind: What counts as the same problem.
        text: What it is, without the place.
        time: Of a row whose values alone are bad.
    """

    line: int
    kind: str
    text: str
    time: datetime | None = None


@contextmanager
def opened(path: Path, name: str) -> Iterator[TextIO]:
    """Open a file of text, and refuse what isn't one.

    What isn't UTF-8 becomes lone surrogates, so that it is found where it stands.

    Raises:
        InputError: It is a folder, a device or a pipe, or can't be opened.
    """
    if not _is_text(name):
        shown = name.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        raise InputError(f"{shown}: expected a name in UTF-8 and without NUL")
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: {'Is a directory' if path.is_dir() else 'a device or a pipe'}, expected a file")
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            yield file
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None


def read_fields(file: TextIO, separator: str) -> Iterator[tuple[int, list[str] | Bad]]:
    """The fields of each line that isn't blank, the header's first.

    Raises:
        InputError: A line is longer than any of a CSV file.
    """
    reader = csv.reader(_lines(file), delimiter=separator, strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield reader.line_num, Bad(reader.line_num, "quotes", str(error))
            continue
        if fields is None:
            return
        if not fields:
            continue
        if len(fields) > MOST_COLUMNS:
            raise InputError(
                f"{file.name}:{reader.line_num}: {len(fields):,} fields, expected at most {MOST_COLUMNS:,}"
            )
        if all(map(str.isascii, fields)) or _is_text("".join(fields)):
            yield reader.line_num, fields
        else:
            yield reader.line_num, Bad(reader.line_num, "text", "not UTF-8 text; save it as CSV in UTF-8")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _lines(file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise InputError(f"{file.name}:{number}: a line of more than {LONGEST_LINE:,} characters, expected CSV")
        yield line


class Table:
    """The columns of a file that a series is made of.

    Args:
        header: The fields of its first line.
        columns: Those of values.
        form: How it is written.

    Raises:
        InputError: A column isn't there, or more than once; one line for each.
    """

    def __init__(self, header: list[str], columns: list[str], form: CsvFormat) -> None:
        self._width, self._columns, self._form = len(header), columns, form
        problems: list[str] = []
        self._places = {}
        for name in dict.fromkeys([form.time, *columns, *form.where]):
            if header.count(name) == 1:
                self._places[name] = header.index(name)
            else:
                problems.append(missing_column(header, name))
        if problems:
            raise InputError(*problems)
        # Of the first column of `where`, what there is; for a message where nothing is kept.
        self.seen: dict[str, None] = {}

    def rows(self, lines: Iterable[tuple[int, list[str] | Bad]]) -> Iterator[Row | Bad]:
        """Read the lines after the header."""
        form = self._form
        for number, fields in lines:
            if isinstance(fields, Bad):
                yield fields
                continue
            if len(fields) != self._width:
                count = f"{len(fields)} {'field' if len(fields) == 1 else 'fields'} where the header has {self._width}"
                kind = "too few" if len(fields) < self._width else "too many"
                yield Bad(number, kind, f"{count}, the first '{shortened(fields[0])}'")
                continue
            if form.where:
                told = {name: fields[self._places[name]] for name in form.where}
                if len(self.seen) < _NAMES:
                    self.seen[next(iter(told.values()))] = None
                if not form.keeps(told):
                    continue
            yield from self._parsed(number, fields)

    def _parsed(self, number: int, fields: list[str]) -> Iterator[Row | Bad]:
        """The row of a line, or each of its fields that can't be read."""
        form, places = self._form, self._places
        try:
            time = form.parse_time(fields[places[form.time]])
            yield Row(number, time, [form.parse_number(fields[places[name]], name) for name in self._columns])
        except InputError:
            yield from self._bad(number, fields)

    def _bad(self, number: int, fields: list[str]) -> Iterator[Bad]:
        bad, time = [], None
        try:
            time = self._form.parse_time(fields[self._places[self._form.time]])
        except InputError as error:
            bad.append(Bad(number, "time", str(error)))
        for name in self._columns:
            try:
                self._form.parse_number(fields[self._places[name]], name)
            except InputError as error:
                kind = "number" if "is not a number" in str(error) else "value"
                bad.append(Bad(number, f"{kind} {name}", str(error)))
        # The last one has the time, so that it is looked at once.
        yield from [*bad[:-1], replace(bad[-1], time=time)]


def missing_column(header: list[str], name: str) -> str:
    """What to say of a column that isn't there, or more than once."""
    if name in header:
        return f"column '{shortened(name)}' is there {header.count(name)} times"
    near = difflib.get_close_matches(name, header, n=1)
    there = ", ".join(shortened(column) for column in header[:_NAMES]) or "none"
    more = f" and {len(header) - _NAMES} more" if len(header) > _NAMES else ""
    hint = f"did you mean '{shortened(near[0])}'?" if near else f"there are: {there}{more}"
    return f"no column '{shortened(name)}'; {hint}"


def step_problem(time: datetime, previous: datetime | None, frequency: Frequency) -> tuple[str, str] | None:
    """What is wrong with a row's time, if anything: the kind, and a text.

    Args:
        time: The row's.
        previous: That of the row before; None for the first.
        frequency: The step.
    """
    if previous is None:
        if frequency.holds(time):
            return None
        return "frequency", f"off the frequency: {time}, expected a row every {frequency.words()} ({frequency.text})"
    if (time.tzinfo is None) != (previous.tzinfo is None):
        return "zone", f"{time} and the row before, {previous}, don't both have a time zone"
    if time == previous:
        return "duplicate", f"duplicate time: {time}"
    if time < previous:
        return "order", f"times out of order: {time} after {previous}"
    try:
        expected = frequency.next(previous)
    except (ValueError, OverflowError) as error:
        return "frequency", f"no time one step of {frequency.text} after {previous}: {error}"
    if time == expected:
        return None
    # A gap of whole steps, or a row beside them.
    step = "gap" if time > expected and skipped(previous, time, frequency) else "off the frequency"
    kind = "gap" if step == "gap" else "frequency"
    return kind, f"{step}: {time} after {previous}, expected {expected} ({frequency.text})"


def skipped(before: datetime, after: datetime, frequency: Frequency) -> int:
    """How many rows are missing between two; 0 where the second isn't a whole number of steps after the first.

    Steps of differing length are counted one by one, and not further than `_MOST_STEPS`.
    """
    if frequency.seconds:
        steps, rest = divmod((after - before).total_seconds(), frequency.seconds)
        return 0 if rest else max(0, int(steps) - 1)
    count, time = 0, before
    try:
        while (time := frequency.next(time)) < after and count < _MOST_STEPS:
            count += 1
    except (ValueError, OverflowError):
        return 0
    return count if time == after else 0
