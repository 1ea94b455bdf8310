"""The command check, which reads data and prints a config that trains on them.

Only the config is printed, with the problems of the data in its comments, so that the output can be saved as it is.
"""

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from components.common.errors import InputError, collecting
from components.common.words import counted, some
from components.data.splits import split_ends
from components.readers import csv_guess
from components.readers.csv_format import MISSING, CsvFormat
from components.readers.csv_reading import Found, SeriesFile
from components.readers.csv_rows import open_text, read_fields
from components.readers.csv_scan import Scan, newest_first, order_hint, scan
from components.readers.time_axis import Frequency
from components.sources import csv
from components.vertex.cloud_storage import local_path
from pipeline.check import pictures
from pipeline.check.pictures import absolute, comments, dataset_name

# The names of columns that have a part of a time or the number of a row, which nobody forecasts.
_PARTS = {"id", "index", "no", "nr", "year", "month", "day", "hour", "minute", "second"}
_PARTS |= {"week", "weekday", "dayofweek"}
# The fewest rows that a config can be written for.
_MIN_ROWS = 14
# The most columns that a comment names.
_MAX_COLUMNS = 20


@dataclass(frozen=True)
class _Guess:
    form: CsvFormat
    numbers: list[str]
    keys: list[str]
    names: list[str]
    frequency: str


def check(source: str) -> str:
    """Read a CSV file or a folder of images, and write a config for it.

    Returns:
        The config, with the problems of the data in its comments.

    Raises:
        InputError: The data can't be used with any config.
    """
    path = local_path(source)
    if path.is_dir():
        return pictures.check(source)
    guess = _guess(path, source)
    frequency = Frequency(guess.frequency)
    series_file = SeriesFile(path, source, guess.numbers, [], frequency, lookback=100, horizon=50, keys=guess.keys)
    first = scan(series_file, guess.form)
    if not newest_first(first.form, first.found):
        return _checked(source, guess, first, first.lines)
    with TemporaryDirectory() as folder:
        # In the file, all rows would be out of order. In this copy they have other lines, so its problems aren't shown.
        with open_text(path, source) as file:
            header, _ = next(read_fields(file, guess.form.separator))
        lines = path.read_bytes().splitlines()
        copy = Path(folder, path.name)
        copy.write_bytes(b"\n".join([*lines[:header], *reversed(lines[header:])]))
        return _checked(source, guess, scan(replace(series_file, path=copy), guess.form), [])


def _checked(source: str, guess: _Guess, first: Scan, problems: list[str]) -> str:
    """Write a config for a file that was scanned once, with these problems and those that the config doesn't solve."""
    if hint := order_hint(first.form, first.found):
        order = first.found.kinds["order"]
        raise InputError(f"{source}:{order.line}: {order}{hint}")
    columns = first.file.columns
    form, step, corrected = first.form, first.file.frequency.text, first
    if {"same", "duplicate", "frequency"} & first.found.kinds.keys():
        form = form.model_copy(update={"resample": "mean"})
        corrected = scan(first.file, form)
    static = _static(source, guess, form.where)
    target, *covariates = [name for name in columns if name not in static] or columns
    config = _config(source, form, corrected.found, target, step)
    remaining = _remaining_problems(config)
    lines = [
        f"{source}: {_summary(first.found, step)}",
        f"times: {form.time}",
        f"numbers: {some(columns, _MAX_COLUMNS)}",
    ]
    if others := [name for name in guess.names if name not in columns]:
        lines.append(f"other columns: {some(others, _MAX_COLUMNS)}")
    return comments(lines, problems, remaining) + _yaml_text(config, covariates, static)


def _static(source: str, guess: _Guess, keys: Collection[str]) -> list[str]:
    """The columns of numbers that have one value in each of the series that these columns tell apart."""
    header, rows = csv_guess.sample(local_path(source), source, guess.form.separator)
    series = [tuple(row[header.index(key)] for key in keys) for row in rows]

    def count(name: str) -> int:
        return len({(*key, row[header.index(name)]) for key, row in zip(series, rows, strict=True)})

    return [name for name in guess.numbers if keys and name not in keys and count(name) == len(set(series))]


def _guess(path: Path, source: str) -> _Guess:
    """Guess the separator, the columns and the frequency of a file from its first rows."""
    separator = csv_guess.separator_of(path, source)
    header, rows = csv_guess.sample(path, source, separator)
    if len(rows) < _MIN_ROWS:
        too_few = f"{source}: {counted(len(rows), 'row')}, expected {_MIN_ROWS} or more to train on"
        raise InputError(csv_guess.text_problem(path, source, separator) or too_few)
    names = [name for name in dict.fromkeys(header) if name and header.count(name) == 1]
    texts = {name: [row[header.index(name)] for row in rows] for name in names}
    form = CsvFormat(separator=separator)  # type: ignore[arg-type]
    numbers, times = [], {}
    for name, values in texts.items():
        time_format = csv_guess.time_format_of(values)
        if time_format is not None:
            times[name] = time_format
        number_form = form.model_copy(update=csv_guess.numbers_of({name: values}, form))
        count = sum(csv_guess.reads(number_form, name, value) for value in values)
        if count >= 0.9 * len(rows) and any(value.strip().lower() not in MISSING for value in values):
            numbers.append(name)
    if not times:
        columns = ", ".join(names[:_MAX_COLUMNS]) or "none"
        no_times = f"{source}: no column of times, such as 2014-01-31T13:30; there are: {columns}"
        raise InputError(csv_guess.text_problem(path, source, separator) or no_times)
    # A column of years could be one of times or of numbers. It has fewer different times than the right one.
    time = max(times, key=lambda name: (name not in numbers, len(set(texts[name]))))
    numbers = [name for name in numbers if name != time and name.lower() not in _PARTS]
    if not numbers:
        raise InputError(f"{source}: no column of numbers beside the times in '{time}'")
    changes = {"time": time, "time_format": times[time] or None}
    form = form.model_copy(update=changes | csv_guess.numbers_of({name: texts[name] for name in numbers}, form))
    frequency = csv_guess.frequency_of(texts[time], form, on_average=True)
    # Where the newest row comes first, all steps go back.
    frequency = frequency or csv_guess.frequency_of(texts[time][::-1], form, on_average=True)
    if frequency is None:
        raise InputError(f"{source}: column '{time}': no step between rows can be told, expected rising times")
    at = [read and read.replace(tzinfo=None) for read in (csv_guess.time_of(text, form) for text in texts[time])]
    keys = [name for name in numbers if _may_name_series(texts[name], at)]
    return _Guess(form, numbers, keys, [name for name in header if name != time], frequency)


def _may_name_series(values: list[str], times: list[datetime | None]) -> bool:
    """Whether a column has whole numbers, and the rows of each number mostly come at one step, as those of a series."""
    if not all(re.fullmatch(r"\d+(\.0+)?", value.strip()) for value in values):
        return False
    last: dict[str, datetime] = {}
    steps: Counter[timedelta] = Counter()
    for value, time in zip(values, times, strict=True):
        if time:
            if value in last:
                steps[time - last[value]] += 1
            last[value] = time
    # The steps of quarters have three lengths, the most frequent one in half of them.
    return max(steps.values(), default=0) > 0.4 * steps.total()


def _config(source: str, form: CsvFormat, found: Found, target: str, frequency: str) -> dict[str, Any]:
    """The options of the data set, with those that solve its problems."""
    rows = found.rows + found.missing_rows
    config: dict[str, Any] = {"source": "csv", "path": absolute(source)}
    defaults = CsvFormat()
    for key in ("separator", "time", "time_format", "decimal", "thousands", "strip", "where", "resample"):
        if key == "time" or getattr(form, key) != getattr(defaults, key):
            config[key] = getattr(form, key)
    config |= {"target": target, "frequency": frequency}
    step = Frequency(frequency)
    if lacking := found.lacking[target]:
        config["fill"] = {"method": "linear", "at_most": lacking}
    if step.seconds and step.seconds < 86400:
        config["calendar"] = ["hour", "weekday"]
    elif "same_day_last_week" in step.seasons():
        config["calendar"] = ["weekday"]
    elif "same_month_last_year" in step.seasons():
        config["calendar"] = ["month"]
    lookback, horizon = _window(rows, step, source)
    return config | {"lookback": lookback, "horizon": horizon}


def _window(rows: int, frequency: Frequency, source: str) -> tuple[int, int]:
    """A lookback and a horizon that suit the seasons, and leave several windows in each split."""
    if rows < _MIN_ROWS:
        raise InputError(f"{source}: {counted(rows, 'row')}, expected {_MIN_ROWS} or more to train on")
    season = frequency.season()
    defaults = csv.Options(path="", time="", target="", frequency="D", lookback=1, horizon=1)
    ends = split_ends(rows, defaults)
    shortest = min(ends[1] - ends[0], ends[2] - ends[1])
    horizon = max(1, min(season if 1 < season <= 48 else 12, shortest // 6))
    windows = max(1, shortest // 5)
    return max(1, min(season * 7 if season <= 48 else 2 * season, shortest - horizon - windows, 336)), horizon


def _remaining_problems(config: dict[str, Any]) -> list[str]:
    """The problems for which an experiment with this data set would be refused."""
    options = {key: value for key, value in config.items() if key != "source"}
    problems: list[str] = []
    with collecting(problems):
        csv.check(csv.Options.model_validate(options))
    return problems


def _summary(found: Found, frequency: str) -> str:
    rows = counted(found.rows, "row")
    if found.first is None or found.last is None:
        return rows
    return f"{rows} from {found.first} to {found.last}, most of them one every {Frequency(frequency).words()}"


_COMMENTS = {
    "target": "the column to forecast",
    "frequency": "the step between rows",
    "where": "the rows to keep; or series instead, with the column alone, for all of them",
    "resample": "one row of all those of a step; or sum, min, max, first, last",
    "fill": "look whether so many rows should be invented; or forward, seasonal",
    "calendar": "derived from the time, known in the future",
    "lookback": "rows that a model sees",
    "horizon": "rows that it forecasts",
}


def _yaml_text(config: dict[str, Any], covariates: list[str], static: list[str]) -> str:
    name = dataset_name(Path(config["path"]).stem)
    lines = ["seed: 0", "datasets:", f"  {name}:"]
    for key, value in config.items():
        text = f"    {key}: {_yaml(value)}"
        lines.append(f"{text}  # {_COMMENTS[key]}" if key in _COMMENTS else text)
        if key == "target" and covariates:
            lines.append(f"    # covariates: {_yaml(covariates[:_MAX_COLUMNS])}  # known up to the forecast")
            lines.append("    # known: [holiday]  # known in the future too")
        if key == "target" and static:
            lines.append(f"    # static: {_yaml(static[:_MAX_COLUMNS])}  # one value in each series; with series")
    season = Frequency(config["frequency"]).season()
    seasonal = "{seasonal: true}" if 1 < season <= config["lookback"] else "{}"
    lines += ["models:", "  lstm:", "    family: lstm", f"    dataset: {name}", "    epochs: 20"]
    lines += [f"    hyperparameters: {seasonal}"]
    return "\n".join(lines) + "\n"


def _yaml(value: object) -> str:
    """A value as YAML on one line. A text is quoted where YAML would read it as another type."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w ./-]*", value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
