"""Guess the format of a CSV file, for options that a user left out or set wrongly."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from components.common.errors import InputError
from components.readers.csv_format import MISSING, UNIX, CsvFormat, parse
from components.readers.csv_rows import Problem, open_text, read_fields
from components.readers.time_axis import Frequency

# The number of first rows that guesses look at, and the most fields of them.
_SAMPLE = 10_000
_SAMPLE_FIELDS = 200_000
_SEPARATORS = (",", ";", "\t", "|")
_DATES = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"),
    *("%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y"),
    *("%b-%y", "%b-%Y", "%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%y-%m", "%m-%Y", "%Y%m", "%Y", "%Y-%m-%d"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %Hh", "T%H:%M:%S%z", " %H:%M:%S %z")
# A number is guessed to be a time since 1970 only where that is in these years.
_UNIX_YEARS = (1980, 2100)
_SIGNS = "$€£¥%"
# A column with more different values than this doesn't name series.
_SERIES = 1000
# The number of columns that are tried in pairs.
_PAIRED = 10


def sample(path: Path, name: str, separator: str) -> tuple[list[str], list[list[str]]]:
    """Read the header, and the first rows that have as many fields."""
    with open_text(path, name) as file:
        rows = (fields for _, fields in read_fields(file, separator) if not isinstance(fields, Problem))
        header = next(rows, [])
        most = min(_SAMPLE, _SAMPLE_FIELDS // max(1, len(header)) + 1)
        return header, [fields for fields in itertools.islice(rows, most) if len(fields) == len(header)]


def text_problem(path: Path, name: str, separator: str) -> str | None:
    """The message on the first line that isn't UTF-8 text, which `sample` leaves out; None where there is none."""
    with open_text(path, name) as file:
        for line, fields in read_fields(file, separator):
            if isinstance(fields, Problem) and fields.kind == "text":
                return f"{name}:{line}: {fields.text}"
    return None


def separator_of(path: Path, name: str, columns: Sequence[str] = ()) -> str:
    """Guess the separator: the one with which the header has most of the columns, or else the most fields."""

    def fit(separator: str) -> tuple[int, int]:
        header, rows = sample(path, name, separator)
        return sum(column in header for column in columns), len(header) * len(rows) if len(header) > 1 else 0

    return max(_SEPARATORS, key=fit)


def time_format_of(texts: Iterable[str]) -> str | None:
    """Guess the format that reads at least 90 % of these times, and with which the fewest go back.

    Returns:
        The format, "" for ISO 8601, or None where no format reads them.
    """
    samples = [text.strip() for text in texts if text.strip()]
    if not samples:
        return None
    best: tuple[float, int, str] | None = None
    forms = (date + clock for date, clock in itertools.product(_DATES, _CLOCKS))
    for i, form in enumerate(["", *forms, *UNIX]):
        if not _time_as(samples[0], form) and not _time_as(samples[-1], form):
            continue
        times = [_time_as(text, form) for text in samples]
        read = [time.replace(tzinfo=None) for time in times if time]
        back = sum(after < before for before, after in itertools.pairwise(read))
        repeats = len(read) - len(set(read))
        if len(read) >= 0.9 * len(samples):
            best = min(best or (2 * len(samples), 0, ""), (back + repeats / len(samples), i, form))
    return best[2] if best else None


def _time_as(text: str, form: str) -> datetime | None:
    try:
        time = parse(text, form)
    except ValueError:
        return None
    return None if form in UNIX and not _UNIX_YEARS[0] <= time.year <= _UNIX_YEARS[1] else time


def numbers_of(columns: dict[str, list[str]], form: CsvFormat) -> dict[str, str]:
    """Guess the options `decimal`, `thousands` and `strip` with which most values of these columns are numbers.

    Args:
        columns: The values of each column.
        form: The current options. They stay where no others read more values.

    Returns:
        The options that change.
    """
    present = {(name, text) for name, texts in columns.items() for text in texts if text.strip().lower() not in MISSING}
    if all(reads(form, name, text) for name, text in present):
        return {}
    signs = "".join(sign for sign in _SIGNS if any(sign in text for _, text in present))
    marks = {mark for mark in ".,' \u00a0\u202f" if any(mark in text.strip(_SIGNS + " ") for _, text in present)}
    forms = [form]
    for decimal, thousands in itertools.product((".", ","), ("", *sorted(marks))):
        if decimal != thousands:
            changes = {"decimal": decimal, "thousands": thousands, "strip": form.strip + signs}
            forms.append(form.model_copy(update=changes))
    best = max(forms, key=lambda other: sum(reads(other, name, text) for name, text in present))
    return {
        key: value for key in ("decimal", "thousands", "strip") if (value := getattr(best, key)) != getattr(form, key)
    }


def reads(form: CsvFormat, name: str, text: str) -> bool:
    """Whether a field of a column is a number, or missing."""
    try:
        form.parse_number(text, name)
    except InputError:
        return False
    return True


def frequency_of(texts: Iterable[str], form: CsvFormat, on_average: bool = False) -> str | None:
    """Guess the step between most of these times; None where there is none.

    Args:
        texts: The times of the rows, in their order. Those that can't be read are passed over.
        form: The format of the file.
        on_average: Where no step is the most frequent one, take the shortest of minute, hour, day and week that has
            a row on average.
    """
    times = [time for text in texts if (time := time_of(text, form))]
    if len({time.tzinfo is None for time in times}) > 1:
        times = [time.replace(tzinfo=None) for time in times]
    steps = Counter(after - before for before, after in itertools.pairwise(times) if after > before)
    if not steps:
        return None
    calendar = ["MS", "M", "QS", "Q", "YS", "Y"] if min(steps) >= timedelta(days=28) else []
    rising = [(before, after) for before, after in itertools.pairwise(times) if after > before]
    for text in calendar:
        frequency = Frequency(text)
        right = sum(_next(frequency, before) == after for before, after in rising)
        if right > len(rising) / 2 and all(map(frequency.holds, times)):
            return text
    step, count = steps.most_common(1)[0]
    seconds = int(step.total_seconds())
    if count < len(rising) / 2 and not calendar:
        if not on_average:
            return None
        mean = (max(times) - min(times)).total_seconds() / len(times)
        return next((text for text, size in (("min", 60), ("h", 3600), ("D", 86400)) if mean <= size), "W")
    if seconds == 86400 and timedelta(days=3) in steps and not any(time.weekday() > 4 for time in times):
        return "B"
    for size, unit in ((7 * 86400, "W"), (86400, "D"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds and seconds % size == 0:
            return f"{seconds // size if seconds > size else ''}{unit}"
    return None


def time_of(text: str, form: CsvFormat) -> datetime | None:
    """The time of a field; None where it can't be read."""
    try:
        return form.parse_time(text)
    except InputError:
        return None


def _next(frequency: Frequency, time: datetime) -> datetime | None:
    try:
        return frequency.next(time)
    except (ValueError, OverflowError):
        return None


def series_columns(
    path: Path, name: str, form: CsvFormat, columns: Sequence[str], keys: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Find one or two columns that tell interleaved series apart, so that the times of each series rise.

    Args:
        path: The file.
        name: The file's name in messages.
        form: The format of the file.
        columns: The columns of values.
        keys: Those of them that may tell series apart all the same. Other columns are preferred.

    Returns:
        For each series, its values of these columns. The list is empty where there are no such columns.
    """
    with open_text(path, name) as file:
        lines = (fields for _, fields in read_fields(file, form.separator) if not isinstance(fields, Problem))
        header = next(lines, [])
        used = {form.time, *columns, *form.where} - set(keys)
        unused = [i for i, column in enumerate(header) if column not in used and header.count(column) == 1]
        pairs = itertools.combinations(unused[:_PAIRED], 2)
        groupings: dict[tuple[int, ...], _Grouping] = {key: _Grouping() for key in (*((i,) for i in unused), *pairs)}
        time_index = header.index(form.time)
        selectors = {column: header.index(column) for column in form.where}
        rows, previous, wrong = 0, None, 0
        for fields in lines:
            if len(fields) != len(header) or not form.keeps({name: fields[i] for name, i in selectors.items()}):
                continue
            if not (read := time_of(fields[time_index], form)):
                continue
            rows, time = rows + 1, read.replace(tzinfo=None)
            wrong += previous is not None and time <= previous
            previous = time
            for key, grouping in list(groupings.items()):
                if not grouping.add(tuple(fields[i].strip() for i in key), time):
                    del groupings[key]
    candidates = [
        (len(key), sum(header[i] in keys for i in key), len(grouping.last), key)
        for key, grouping in groupings.items()
        if 2 <= len(grouping.last) <= rows / 2
        and grouping.wrong <= rows / 100
        and grouping.wrong < wrong
        # Where only a few times repeat, almost any column would do. So its values have to come in blocks.
        and (wrong > rows / 10 or grouping.changes == len(grouping.last) - 1)
    ]
    if not candidates:
        return []
    key = min(candidates)[3]
    return [dict(zip((header[i] for i in key), values, strict=True)) for values in groupings[key].last]


class _Grouping:
    """Groups rows by the values of some columns, to see whether the times of each group rise.

    Attributes:
        last: The last time of each group.
        wrong: The number of rows whose time isn't after the one before in their group.
        changes: The number of rows of another group than the row before.
    """

    def __init__(self) -> None:
        self.last: dict[tuple[str, ...], datetime] = {}
        self.wrong = self.changes = 0
        self._value: tuple[str, ...] | None = None

    def add(self, value: tuple[str, ...], time: datetime) -> bool:
        """Add a row. Returns False where there are too many groups."""
        before = self.last.get(value)
        self.wrong += before is not None and time <= before
        self.changes += self._value is not None and value != self._value
        self.last[value], self._value = time, value
        return len(self.last) <= _SERIES
