"""The command check: look at data before there is a config, and print one that would train on them.

All that is printed is the config; what was found stands in its comments, so that it can be saved as it is.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from components.common.errors import InputError
from components.data.splits import split_ends
from components.readers import csv_guess
from components.readers.csv_format import CsvFormat
from components.readers.csv_scan import Scan, SeriesFile, scan
from components.readers.time_axis import Frequency
from components.sources import csv
from components.vertex.cloud_storage import GS, local
from pipeline.check import pictures

# Names of a time's parts and of rows, which nobody forecasts.
_PARTS = {"id", "index", "no", "nr", "year", "month", "day", "hour", "minute", "second", "week", "weekday", "dayofweek"}
_FEWEST = 14
_MOST_COLUMNS = 20


@dataclass(frozen=True)
class _Guess:
    form: CsvFormat
    numbers: list[str]
    others: list[str]
    frequency: str


def check(source: str) -> str:
    """Look at a CSV file, or at a folder of images.

    Returns:
        A config, with what was found in its comments.

    Raises:
        InputError: No config could be made of it.
    """
    path = local(source)
    if path.is_dir():
        return pictures.look(source)
    guess = _guess(path, source)
    columns, target = guess.numbers, guess.numbers[0]
    wanted = SeriesFile(path, source, columns, [], Frequency(guess.frequency), lookback=100, horizon=50)
    found = scan(wanted, guess.form)
    frequency = found.fixes.get("frequency", guess.frequency)
    fixed = guess.form.model_copy(update={key: value for key, value in found.fixes.items() if key != "frequency"})
    mended = found
    if {"same", "duplicate", "frequency"} & found.kinds.keys():
        fixed = fixed.model_copy(update={"resample": "mean"})
        mended = scan(replace(wanted, frequency=Frequency(frequency)), fixed)
    config = _config(source, fixed, mended, target, frequency)
    left = _left(config)
    lines = [f"{source}: {_about(found, frequency)}", f"times: {fixed.time}", f"numbers: {_names(columns)}"]
    if guess.others:
        lines.append(f"other columns: {_names(guess.others)}")
    lines += ["", *(found.lines or ["no problems"])]
    if left:
        lines += ["", "What this config doesn't mend:", *left]
    comments = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return f"{comments}\n{_written(config, columns[1:])}"


def _guess(path: Path, source: str) -> _Guess:
    """Separator, columns and frequency of a file, by its first rows."""
    separator = csv_guess.separator_of(path, source)
    header, rows = csv_guess.sample(path, source, separator)
    names = [name for name in dict.fromkeys(header) if name and header.count(name) == 1]
    texts = {name: [row[header.index(name)] for row in rows] for name in names}
    form = CsvFormat(separator=separator)  # type: ignore[arg-type]
    numbers, times = [], {}
    for name, values in texts.items():
        time_format = csv_guess.time_format_of(values)
        if time_format is not None:
            times[name] = time_format
        mended = form.model_copy(update=csv_guess.numbers_of({name: values}, form))
        read = sum(csv_guess.reads(mended, name, value) for value in values)
        if rows and read >= 0.9 * len(rows):
            numbers.append(name)
    if not times:
        there = ", ".join(names[:_MOST_COLUMNS]) or "none"
        raise InputError(f"{source}: no column of times, such as 2014-01-31T13:30; there are: {there}")
    # A column of years is one of numbers, too, and has fewer times.
    time = max(times, key=lambda name: (name not in numbers, len(set(texts[name]))))
    numbers = [name for name in numbers if name != time and name.lower() not in _PARTS]
    if not numbers:
        raise InputError(f"{source}: no column of numbers beside the times in '{time}'")
    changes = {"time": time, "time_format": times[time] or None}
    form = form.model_copy(update=changes | csv_guess.numbers_of({name: texts[name] for name in numbers}, form))
    read_times = [moment for text in texts[time] if (moment := csv_guess.time_of(text, form.time_format or ""))]
    frequency = csv_guess.frequency_of(read_times, on_average=True)
    if len(rows) < _FEWEST:
        raise InputError(f"{source}: {_too_few(len(rows))}")
    if frequency is None:
        raise InputError(f"{source}: column '{time}': no step between rows can be told, expected rising times")
    others = [name for name in header if name != time and name not in numbers]
    return _Guess(form, numbers, others, frequency)


def _config(source: str, form: CsvFormat, found: Scan, target: str, frequency: str) -> dict[str, Any]:
    """Options of the data set, with which its problems are mended where options can."""
    rows = found.rows + found.missing_rows
    whole = source if source.startswith(GS) else str(Path(source).absolute())
    config: dict[str, Any] = {"source": "csv", "path": whole}
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
    """A lookback and a horizon that suit the seasons, and leave some windows in each split."""
    if rows < _FEWEST:
        raise InputError(f"{source}: {_too_few(rows)}")
    season = frequency.season()
    defaults = csv.Options(path="", time="", target="", frequency="D", lookback=1, horizon=1)
    ends = split_ends(rows, defaults)
    shortest = min(ends[1] - ends[0], ends[2] - ends[1])
    horizon = max(1, min(season if 1 < season <= 48 else 12, shortest // 6))
    windows = max(1, shortest // 5)
    return max(1, min(season * 7 if season <= 48 else 2 * season, shortest - horizon - windows, 336)), horizon


def _too_few(rows: int) -> str:
    return f"{rows} {'row' if rows == 1 else 'rows'}, expected {_FEWEST} or more to train on"


def _left(config: dict[str, Any]) -> list[str]:
    """What an experiment with this data set would be refused for."""
    options = {key: value for key, value in config.items() if key != "source"}
    try:
        csv.check(csv.Options.model_validate(options))
    except InputError as error:
        return list(error.problems)
    return []


def _about(found: Scan, frequency: str) -> str:
    rows = f"{found.rows:,} {'row' if found.rows == 1 else 'rows'}"
    if found.first is None or found.last is None:
        return rows
    return f"{rows} from {found.first} to {found.last}, most of them one every {Frequency(frequency).words()}"


def _names(columns: list[str]) -> str:
    more = f" and {len(columns) - _MOST_COLUMNS} more" if len(columns) > _MOST_COLUMNS else ""
    return ", ".join(columns[:_MOST_COLUMNS]) + more


_COMMENTS = {
    "target": "the column to forecast",
    "frequency": "the step between rows",
    "where": "the rows to keep; another value is another series",
    "resample": "one row of all those of a step; or sum, min, max, first, last",
    "fill": "look whether so many rows should be invented; or forward, seasonal",
    "calendar": "derived from the time, known in the future",
    "lookback": "rows that a model sees",
    "horizon": "rows that it forecasts",
}


def _written(config: dict[str, Any], covariates: list[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", Path(config["path"]).stem.lower()).strip("_")[:30].strip("_")
    name = name if re.match(r"[a-z]", name) else f"data_{name}".strip("_")
    lines = ["seed: 0", "datasets:", f"  {name}:"]
    for key, value in config.items():
        text = f"    {key}: {_yaml(value)}"
        lines.append(f"{text}  # {_COMMENTS[key]}" if key in _COMMENTS else text)
        if key == "target" and covariates:
            lines.append(f"    # covariates: {_yaml(covariates[:_MOST_COLUMNS])}  # known up to the forecast")
            lines.append("    # known: [holiday]  # known in the future too")
    season = Frequency(config["frequency"]).season()
    seasonal = "{seasonal: true}" if 1 < season <= config["lookback"] else "{}"
    lines += ["models:", "  lstm:", "    family: lstm", f"    dataset: {name}", "    epochs: 20"]
    lines += [f"    hyperparameters: {seasonal}"]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:  # noqa: ANN401 (what YAML can hold)
    """A value on one line; a text is quoted where it could be taken for something else."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w ./-]*", value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
