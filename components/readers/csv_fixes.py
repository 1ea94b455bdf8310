"""Find the options with which more of a CSV file could be read."""

import json
from dataclasses import replace
from typing import Any

from components.readers import csv_guess
from components.readers.csv_format import CsvFormat, shortened
from components.readers.csv_reading import Found, SeriesFile
from components.readers.time_axis import Frequency

# The file with another frequency or the format with other options, and a line for each problem that these solve.
Fix = tuple[SeriesFile, CsvFormat, list[str]]


def fix(series_file: SeriesFile, form: CsvFormat, found: Found) -> Fix | None:
    """Find the options that solve the first of the problems; None where no options solve any."""
    return (
        _separator(series_file, form, found)
        or _fields(series_file, form, found)
        or _where(series_file, form, found)
        or _frequency(series_file, form, found)
    )


def _separator(series_file: SeriesFile, form: CsvFormat, found: Found) -> Fix | None:
    if not any(kind.startswith("no ") for kind in found.kinds):
        return None
    path, name = series_file.path, series_file.name
    guess = csv_guess.separator_of(path, name, [form.time, *series_file.columns])
    if guess == form.separator or form.time not in csv_guess.sample(path, name, guess)[0]:
        return None
    problem = f"fields are separated by {guess!r}, expected {form.separator!r}"
    line = f"{name}:1: {problem}; set separator: {json.dumps(guess)}"
    return series_file, form.model_copy(update={"separator": guess}), [line]


def _fields(series_file: SeriesFile, form: CsvFormat, found: Found) -> Fix | None:
    """The format of times and of numbers, where some can't be read."""
    numbers = [kind for name, kind in found.kinds.items() if name.startswith("number ")]
    if not numbers and "time" not in found.kinds:
        return None
    texts, name = _texts(series_file, form, found), series_file.name
    changes: dict[str, Any] = {}
    lines = []
    if time := found.kinds.get("time"):
        guess = csv_guess.time_format_of(texts[form.time])
        if guess is not None and (guess or None) != form.time_format:
            changes["time_format"] = guess or None
            hint = f"set {_shown(changes)}" if guess else "leave that out"
            lines.append(f"{name}:{time.line}: {time}; {hint}")
    if numbers:
        written = csv_guess.numbers_of({column: texts[column] for column in texts if column != form.time}, form)
        changes |= written
        lines += [f"{name}:{kind.line}: {kind}; set {_shown(written)}" for kind in numbers if written]
    return (series_file, form.model_copy(update=changes), lines) if changes else None


def _where(series_file: SeriesFile, form: CsvFormat, found: Found) -> Fix | None:
    """The values of columns that tell one of several series from the others, where times don't rise."""
    first = [kind.line for name, kind in found.kinds.items() if name in ("order", "duplicate", "same")]
    if form.series or not first:
        return None
    where = {column: value for column, value in form.where.items() if found.has(column)}
    form_there = form.model_copy(update={"where": where})
    path, name = series_file.path, series_file.name
    each = csv_guess.series_columns(path, name, form_there, series_file.columns, series_file.keys)
    columns = [column for column in series_file.columns if each and column not in each[0]]
    if not columns:
        return None
    series = [{shortened(k): shortened(v) for k, v in values.items()} for values in each]
    shown = ", ".join(" ".join(values.values()) for values in series[:5]) + (", …" if len(series) > 5 else "")
    names = " and ".join(f"'{column}'" for column in series[0])
    subject = f"column {names} tells" if len(series[0]) == 1 else f"columns {names} tell"
    keep = ", ".join(f"{column}: {value}" for column, value in series[0].items())
    problem = f"{len(series):,} series in one file: {subject} them apart ({shown})"
    together = f", or train on all with series: {next(iter(series[0]))}" if len(series[0]) == 1 else ""
    line = f"{name}:{min(first)}: {problem}; keep one, such as where: {{{keep}}}{together}"
    return replace(series_file, columns=columns), form.model_copy(update={"where": {**form.where, **each[0]}}), [line]


def _frequency(series_file: SeriesFile, form: CsvFormat, found: Found) -> Fix | None:
    """The step between most rows, where it isn't the one that was given."""
    steps = [found.kinds[name] for name in ("gap", "frequency") if name in found.kinds]
    if sum(kind.count for kind in steps) <= found.rows / 2:
        return None
    guess = csv_guess.frequency_of(_texts(series_file, form, found)[form.time], form)
    given = series_file.frequency
    if not guess or Frequency(guess).seconds == given.seconds:
        return None
    problem = f"most rows come every {Frequency(guess).words()}, not every {given.words()}"
    line = f"{series_file.name}:{steps[0].line}: {problem}; set frequency: {guess}"
    return replace(series_file, frequency=Frequency(guess)), form, [line]


def _texts(series_file: SeriesFile, form: CsvFormat, found: Found) -> dict[str, list[str]]:
    """The first fields of the column of times, and of each column of values that is there."""
    header, rows = csv_guess.sample(series_file.path, series_file.name, form.separator)
    columns = [form.time, *filter(found.has, series_file.columns)]
    return {column: [row[header.index(column)] for row in rows] for column in columns}


def _shown(options: dict[str, Any]) -> str:
    return " and ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in options.items())
