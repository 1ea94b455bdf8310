"""What a CSV file looks like: guesses for what a user left out, or wrote wrongly."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from components.common.errors import InputError
from components.readers.csv_format import MISSING, CsvFormat, parse
from components.readers.csv_rows import Bad, opened, read_fields
from components.readers.time_axis import Frequency

# Of the first rows so many, and fewer where there are many columns.
_SAMPLE = 10_000
_SAMPLE_FIELDS = 200_000
_SEPARATORS = (",", ";", "\t", "|")
_DATES = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"),
    *("%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y"),
    *("%b-%y", "%b-%Y", "%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%y-%m", "%m-%Y", "%Y%m", "%Y", "%Y-%m-%d"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %Hh", "T%H:%M:%S%z", " %H:%M:%S %z")
_SIGNS = "$€£¥%"
# A column of more values than these doesn't name series.
_SERIES = 1000
# So many columns are tried in pairs.
_PAIRED = 10


def sample(path: Path, name: str, separator: str) -> tuple[list[str], list[list[str]]]:
    """The header, and the first rows that have as many fields."""
    with opened(path, name) as file:
        rows = (fields for _, fields in read_fields(file, separator) if not isinstance(fields, Bad))
        header = next(rows, [])
        most = min(_SAMPLE, _SAMPLE_FIELDS // max(1, len(header)) + 1)
        return header, [fields for fields in itertools.islice(rows, most) if len(fields) == len(header)]


def separator_of(path: Path, name: str, wanted: Sequence[str] = ()) -> str:
    """What separates the fields: with it the header has the wanted columns, or else the most."""

    def fit(separator: str) -> tuple[int, int]:
        header, rows = sample(path, name, separator)
        return sum(column in header for column in wanted), len(header) * len(rows) if len(header) > 1 else 0

    return max(_SEPARATORS, key=fit)


def time_format_of(texts: Iterable[str]) -> str | None:
    """A format that reads all of these times, or as good as all; of several the one that gives the fewest steps back.

    Returns:
        The format; "" for ISO 8601; None where there is none.
    """
    some = [text.strip() for text in texts if text.strip()]
    if not some:
        return None
    best: tuple[float, int, str] | None = None
    for i, form in enumerate(["", *(date + clock for date, clock in itertools.product(_DATES, _CLOCKS))]):
        if not time_of(some[0], form) and not time_of(some[-1], form):
            continue
        times = [time_of(text, form) for text in some]
        read = [time.replace(tzinfo=None) for time in times if time]
        back = sum(after < before for before, after in itertools.pairwise(read))
        repeats = len(read) - len(set(read))
        if len(read) >= 0.9 * len(some):
            best = min(best or (2 * len(some), 0, ""), (back + repeats / len(some), i, form))
    return best[2] if best else None


def time_of(text: str, form: str) -> datetime | None:
    """A time in this format, "" for ISO 8601; None where it isn't."""
    try:
        return parse(text, form)
    except ValueError:
        return None


def numbers_of(columns: dict[str, list[str]], form: CsvFormat) -> dict[str, str]:
    """The options `decimal`, `thousands` and `strip` with which most values of these columns are numbers.

    Args:
        columns: Their values.
        form: The options as they are; those that read as many values as any others stay.
    """
    present = {(name, text) for name, texts in columns.items() for text in texts if text.strip().lower() not in MISSING}
    if all(reads(form, name, text) for name, text in present):
        return {}
    signs = "".join(sign for sign in _SIGNS if any(sign in text for _, text in present))
    marks = {mark for mark in ".,' \u00a0\u202f" if any(mark in text.strip(_SIGNS + " ") for _, text in present)}
    tried = [form]
    for decimal, thousands in itertools.product((".", ","), ("", *sorted(marks))):
        if decimal != thousands:
            changes = {"decimal": decimal, "thousands": thousands, "strip": form.strip + signs}
            tried.append(form.model_copy(update=changes))
    best = max(tried, key=lambda one: sum(reads(one, name, text) for name, text in present))
    return {k: v for k in ("decimal", "thousands", "strip") if (v := getattr(best, k)) != getattr(form, k)}


def reads(form: CsvFormat, name: str, text: str) -> bool:
    """Whether a field of a column is a number, or missing."""
    try:
        form.parse_number(text, name)
    except InputError:
        return False
    return True


def frequency_of(times: Sequence[datetime], on_average: bool = False) -> str | None:
    """The step that most of these times, in their order, are apart; None where there is none.

    Args:
        times: The rows'.
        on_average: Where there is none, take the shortest of minute, hour, day and week that has a row on average.
    """
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


def _next(frequency: Frequency, time: datetime) -> datetime | None:
    try:
        return frequency.next(time)
    except (ValueError, OverflowError):
        return None


def series_columns(path: Path, name: str, form: CsvFormat, columns: Sequence[str]) -> list[dict[str, str]]:
    """What tells interleaved series apart: the values of a column or two, such that the times of each series rise.

    Args:
        path: The file.
        name: Of it, for messages.
        form: How it is written.
        columns: Those of values.

    Returns:
        For each series its values by column; empty where no columns do that.
    """
    with opened(path, name) as file:
        lines = (fields for _, fields in read_fields(file, form.separator) if not isinstance(fields, Bad))
        header = next(lines, [])
        used = {form.time, *columns, *form.where}
        places = [i for i, column in enumerate(header) if column not in used and header.count(column) == 1]
        pairs = itertools.combinations(places[:_PAIRED], 2)
        found: dict[tuple[int, ...], _Apart] = {key: _Apart() for key in (*((i,) for i in places), *pairs)}
        place = header.index(form.time)
        kept = {column: header.index(column) for column in form.where}
        rows, previous, wrong = 0, None, 0
        for fields in lines:
            if len(fields) != len(header) or not form.keeps({c: fields[i] for c, i in kept.items()}):
                continue
            try:
                time = form.parse_time(fields[place]).replace(tzinfo=None)
            except InputError:
                continue
            rows += 1
            wrong += previous is not None and time <= previous
            previous = time
            for key, apart in list(found.items()):
                if not apart.add(tuple(fields[i].strip() for i in key), time):
                    del found[key]
    able = [
        (len(key), len(apart.last), key)
        for key, apart in found.items()
        if 2 <= len(apart.last) <= rows / 2
        and apart.wrong <= rows / 100
        and apart.wrong < wrong
        # Else a few repeated times would make any column one.
        and (wrong > rows / 10 or apart.changes == len(apart.last) - 1)
    ]
    if not able:
        return []
    key = min(able)[2]
    return [dict(zip((header[i] for i in key), values, strict=True)) for values in found[key].last]


class _Apart:
    """How well some columns tell series apart."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, ...], datetime] = {}
        self.wrong = self.changes = 0
        self._value: tuple[str, ...] | None = None

    def add(self, value: tuple[str, ...], time: datetime) -> bool:
        """Look at a row; False where there are too many values."""
        before = self.last.get(value)
        self.wrong += before is not None and time <= before
        self.changes += self._value is not None and value != self._value
        self.last[value], self._value = time, value
        return len(self.last) <= _SERIES
