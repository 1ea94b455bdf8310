"""Find all problems of a CSV series, and say each kind in one line.

Where other options than the given ones would read the file, these are named. The file is then read once more with
them, so that the remaining problems are found in the same scan.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components.readers.csv_fixes import fix
from components.readers.csv_format import CsvFormat
from components.readers.csv_reading import Found, SeriesFile, read


@dataclass
class Scan:
    """The result of a scan.

    Attributes:
        lines: A line for each problem.
        file: The file, with the frequency of its rows where that is another than the given one.
        form: The format with which most of the file can be read.
        found: What was found with this frequency and this format.
    """

    lines: list[str]
    file: SeriesFile
    form: CsvFormat
    found: Found


def scan(series_file: SeriesFile, form: CsvFormat) -> Scan:
    """Find all problems of a file.

    Raises:
        InputError: The file can't be read at all, for it doesn't exist or isn't text.
    """
    lines: list[str] = []
    # Each round corrects one of the separator, times and numbers, the series, and the frequency.
    for _ in range(6):
        found = read(series_file, form)
        fixed = fix(series_file, form, found)
        if not fixed:
            break
        series_file, form, solved = fixed
        lines += [line for line in solved if line not in lines]
    lines += [line for line in _lines(series_file.name, form, found) if line not in lines]
    return Scan(lines, series_file, form, found)


def _lines(name: str, form: CsvFormat, found: Found) -> Iterator[str]:
    """A line for each kind of problem, and for each leak."""
    hint = _fill_hint(form, max(found.lacking.values(), default=0))
    for key, kind in found.kinds.items():
        more = ""
        if key == "gap":
            more = f": {found.missing_rows:,} rows are missing" if found.missing_rows > 1 else ": 1 row is missing"
        if kind.longest:
            more += (f", {kind.longest:,} at most in a row" if kind.count > 1 else "") + hint
            hint = ""
        elif key == "duplicate":
            more = "; resample makes one row of them"
        elif key == "order":
            more = order_hint(form, found)
        yield f"{name}:{kind.line}: {kind}{more}"
    yield from (f"{name}: {leak}" for leak in found.leaks)


def order_hint(form: CsvFormat, found: Found) -> str:
    """What to do where many rows are out of order, so that nothing else can be told of the file; "" where few are."""
    times, count = _times(found)
    if count <= times / 10:
        return ""
    newest = "the newest row comes first: " if newest_first(form, found) else ""
    return f"; {newest}sort the rows by '{form.time}'"


def newest_first(form: CsvFormat, found: Found) -> bool:
    """Whether nearly all times go back."""
    times, count = _times(found)
    # Rows in random order go back half of the time, but resampling compares each with the last of those before.
    return 0 < count >= 0.9 * (times - 1) and not form.resample


def _times(found: Found) -> tuple[int, int]:
    """The number of different times, and of those that go back."""
    kinds = found.kinds
    times = found.rows - sum(kinds[key].count for key in ("duplicate", "same") if key in kinds)
    return times, kinds["order"].count if "order" in kinds else 0


def _fill_hint(form: CsvFormat, lacking: int) -> str:
    """The option that fills so many successive missing values, for the first line that needs it."""
    if not form.fill:
        return f"; fill: {{method: linear, at_most: {lacking}}} fills it"
    if lacking > form.fill.at_most:
        return f"; fill.at_most is {form.fill.at_most:,}, expected {lacking:,} or more"
    return "; nothing before it to fill it from"
