"""Read the rows of a CSV file one after the other, so that memory doesn't grow with the file."""

import csv
import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from components.common.errors import InputError
from components.readers.csv_format import CsvFormat, shortened

LONGEST_LINE = 1 << 20
MOST_COLUMNS = 10_000
LONGEST_NAME = 200
_NAMES = 20
# Files of tables that aren't text, by their first bytes.
BINARY = {b"PK\3\4": "an Excel workbook or another ZIP archive", b"PAR1": "a Parquet file"}


@dataclass(slots=True)
class Row:
    """A row that could be read.

    Attributes:
        line: The number of its line in the file, from 1. A row that combines several has the line of the first.
        time: The row's time.
        values: The value of each column; NaN where it is missing.
        series: The name of the row's series; "" where a file has one series.
    """

    line: int
    time: datetime
    values: list[float]
    series: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem in a line of a file.

    Attributes:
        line: The number of the line, from 1.
        kind: The kind of problem. Problems of one kind are counted together.
        text: The message, without the line.
        time: The row's time, where only its values are wrong.
        series: The name of the row's series, where it is known.
    """

    line: int
    kind: str
    text: str
    time: datetime | None = None
    series: str = ""


@contextmanager
def open_text(path: Path, name: str) -> Iterator[TextIO]:
    """Open a text file.

    Bytes that aren't UTF-8 become lone surrogates, so that `read_fields` can name their line.

    Raises:
        InputError: The file is a folder, a device, a pipe, a workbook or a Parquet file, or it can't be opened.
    """
    if not _is_text(name):
        shown = name.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        raise InputError(f"{shown}: expected a name in UTF-8 and without NUL")
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: {'Is a directory' if path.is_dir() else 'a device or a pipe'}, expected a file")
        with path.open("rb") as raw:
            if kind := BINARY.get(raw.peek(4)[:4]):
                raise InputError(f"{name}: {kind}, expected a CSV file; save it as one")
            yield TextIOWrapper(raw, newline="", encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None


def read_fields(file: TextIO, separator: str) -> Iterator[tuple[int, list[str] | Problem]]:
    """Read the fields of each line that isn't blank, the header's first.

    Raises:
        InputError: A line is longer than LONGEST_LINE, or has more fields than MOST_COLUMNS.
    """
    reader = csv.reader(_lines(file), delimiter=separator, strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield reader.line_num, Problem(reader.line_num, "quotes", str(error))
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
            yield reader.line_num, Problem(reader.line_num, "text", "not UTF-8 text; save it as CSV in UTF-8")


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
        # Excel reads and writes the separator as a line before the header. It is passed over as a blank line.
        yield "\n" if number == 1 and re.fullmatch(r"sep=.\s*", line) else line


class Table:
    """The columns of a file that a series needs.

    Args:
        header: The fields of the file's first line.
        columns: The columns of values.
        form: The format of the file.

    Attributes:
        seen: Some values of the first column of `where`, for a message where no row is kept.

    Raises:
        InputError: A column is missing, or there more than once. There is a line for each.
    """

    def __init__(self, header: list[str], columns: list[str], form: CsvFormat) -> None:
        self._width, self._columns, self._form = len(header), columns, form
        problems: list[str] = []
        self._places = {}
        for name in dict.fromkeys([form.time, *columns, *form.where, *filter(None, [form.series])]):
            if header.count(name) == 1:
                self._places[name] = header.index(name)
            else:
                problems.append(missing_column(header, name))
        if problems:
            raise InputError(*problems)
        self.seen: dict[str, None] = {}

    def rows(self, lines: Iterable[tuple[int, list[str] | Problem]]) -> Iterator[Row | Problem]:
        """Read the lines after the header."""
        form = self._form
        for number, fields in lines:
            if isinstance(fields, Problem):
                yield fields
                continue
            if len(fields) != self._width:
                count = f"{len(fields)} {'field' if len(fields) == 1 else 'fields'} where the header has {self._width}"
                kind = "too few" if len(fields) < self._width else "too many"
                yield Problem(number, kind, f"{count}, the first '{shortened(fields[0])}'")
                continue
            if form.where:
                selectors = {name: fields[self._places[name]] for name in form.where}
                if len(self.seen) < _NAMES:
                    self.seen[next(iter(selectors.values()))] = None
                if not form.keeps(selectors):
                    continue
            if not form.series:
                yield from self._parsed(number, fields)
                continue
            series = fields[self._places[form.series]].strip()
            if series and len(series) <= LONGEST_NAME:
                yield from self._parsed(number, fields, series)
            else:
                found = f"a name of {len(series):,} letters, expected at most {LONGEST_NAME}" if series else "no name"
                yield Problem(number, "series", f"column '{form.series}': {found}")

    def _parsed(self, number: int, fields: list[str], series: str = "") -> Iterator[Row | Problem]:
        """The row of a line, or a problem for each field that can't be read."""
        form, places = self._form, self._places
        try:
            time = form.parse_time(fields[places[form.time]])
            yield Row(number, time, [form.parse_number(fields[places[name]], name) for name in self._columns], series)
        except InputError:
            yield from (replace(problem, series=series) for problem in self._problems(number, fields))

    def _problems(self, number: int, fields: list[str]) -> Iterator[Problem]:
        problems, time = [], None
        try:
            time = self._form.parse_time(fields[self._places[self._form.time]])
        except InputError as error:
            problems.append(Problem(number, "time", str(error)))
        for name in self._columns:
            try:
                self._form.parse_number(fields[self._places[name]], name)
            except InputError as error:
                kind = "number" if "is not a number" in str(error) else "value"
                problems.append(Problem(number, f"{kind} {name}", str(error)))
        # Only the last problem of a row has its time, so that the time is checked once.
        yield from [*problems[:-1], replace(problems[-1], time=time)]


def missing_column(header: list[str], name: str) -> str:
    """The message on a column that is missing, or there more than once."""
    if name in header:
        return f"column '{shortened(name)}' is there {header.count(name)} times"
    similar = difflib.get_close_matches(name, header, n=1)
    names = ", ".join(shortened(column) for column in header[:_NAMES]) or "none"
    more = f" and {len(header) - _NAMES} more" if len(header) > _NAMES else ""
    hint = f"did you mean '{shortened(similar[0])}'?" if similar else f"there are: {names}{more}"
    return f"no column '{shortened(name)}'; {hint}"
