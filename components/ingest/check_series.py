"""Read a written series once, to compute the training split's statistics and to check all rows."""

from pathlib import Path
from typing import Any

import numpy as np

from components.artifacts.dataset import SPLITS, Check, SeriesInfo
from components.common.errors import InputError
from components.common.spec import Facts, SeriesOptions
from components.data.source_data import Series
from components.data.splits import split_problems
from components.data.storage import read_rows, row_features
from components.ingest.digest import digest
from components.readers.time_axis import Frequency, calendar_columns

# Rounding errors give a constant column a standard deviation of this share of its mean, by which scaling would divide.
LEAST_STD = 1e-6


def describe(data: Series, options: SeriesOptions, facts: Facts, name: str, source: str, folder: Path) -> SeriesInfo:
    """Check the rows and describe them.

    Raises:
        InputError: A split is too short for one window, times aren't one step apart, or a value isn't finite.
    """
    frequency = Frequency(data.frequency)
    season = frequency.season()
    stored = [*data.columns, *calendar_columns(options.calendar)]
    records, last = {}, None
    moments: dict[str, list[int]] = {}
    total, squares = np.zeros(len(stored)), np.zeros(len(stored))
    error, errors, tail = 0.0, 0, np.zeros(0)
    for split in SPLITS:
        records[split] = 0
        for times, values in read_rows(folder, split, len(stored)).as_numpy_iterator():
            records[split] += len(times)
            moments[split] = [moments[split][0] if split in moments else times[0], times[-1]]
            last = check_rows(times, values, last, frequency, stored, name)
            if split == "train":
                exact = values.astype(np.float64)
                total, squares = total + exact.sum(axis=0), squares + (exact**2).sum(axis=0)
                target = np.concatenate([tail, exact[:, 0]])
                error += float(np.abs(target[season:] - target[:-season]).sum())
                errors += max(0, len(target) - season)
                tail = target[-season:]
    if problems := split_problems(facts.rows or 0, options):
        raise InputError(*(f"{name}: {problem}" for problem in problems))
    mean, std = mean_and_std(total, squares, records["train"])
    step = f"a row every {frequency.words()}, across splits too"
    return series_info(
        data,
        options,
        facts,
        moments,
        name=name,
        source=source,
        records=records,
        mean=mean.tolist(),
        std=std.tolist(),
        sha256=digest(folder, row_features(len(stored))),
        checks=row_checks(records, len(stored), step, "0 rows: splits follow each other in time", facts),
        # Where a series repeats itself exactly or is shorter than a season, its standard deviation is the scale.
        seasonal_error=error / errors if error else float(std[0]) or 1.0,
    )


def series_info(
    data: Series,
    options: SeriesOptions,
    facts: Facts,
    moments: dict[str, list[int]],
    **measured: Any,  # noqa: ANN401 (SeriesInfo checks them)
) -> SeriesInfo:
    """The description of one series or of many.

    Args:
        data: The series.
        options: The options of its source.
        facts: The facts of its source.
        moments: The first and the last time of each split, in seconds since 1970.
        measured: The attributes that follow from the written rows.
    """
    calendar = calendar_columns(options.calendar)
    return SeriesInfo(
        stored=[*data.columns, *calendar],
        columns=data.columns,
        known=[*data.known, *calendar],
        frequency=data.frequency,
        unit=data.unit,
        lookback=options.lookback,
        horizon=options.horizon,
        filled=facts.filled,
        scaling=data.scaling,
        times={split: [utc(time) for time in ends] for split, ends in moments.items()},
        **data.form.model_dump(),
        **measured,
    )


def row_checks(records: dict[str, int], columns: int, order: str, overlap: str, facts: Facts) -> list[Check]:
    """The checks that the rows of one series or of many have passed, those of their source included."""
    found = {
        "counts": ", ".join(f"{split} {records[split]} rows" for split in SPLITS),
        "missing and infinite values": f"0 in {sum(records.values())} x {columns}",
        "time order, duplicates, gaps": order,
        "overlap between splits": overlap,
    }
    return [Check(name=name, found=text) for name, text in [*found.items(), *facts.found.items()]]


def mean_and_std(total: np.ndarray, squares: np.ndarray, rows: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of each column, from the sums of its values and of their squares."""
    mean = total / rows
    std = np.sqrt(np.maximum(squares / rows - mean**2, 0))
    return mean, np.where(std > LEAST_STD * np.maximum(np.abs(mean), 1), std, 1)


def check_rows(
    times: np.ndarray,
    values: np.ndarray,
    last: int | None,
    frequency: Frequency,
    stored: list[str],
    name: str,
) -> int:
    """Check a batch of rows, and compare its first row with the one before. Returns the last time."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InputError(f"{name}: row at {utc(times[row])}: column '{stored[column]}' is {values[row, column]}")
    all_times = times if last is None else np.concatenate([[last], times])
    steps = np.diff(all_times)
    wrong = np.flatnonzero(steps != frequency.seconds if frequency.seconds else steps <= 0)
    if len(wrong):
        before, after = all_times[wrong[0]], all_times[wrong[0] + 1]
        raise InputError(f"{name}: {utc(after)} follows {utc(before)}, expected one step of {frequency.text}")
    return int(times[-1])


def utc(seconds: int) -> str:
    """A time in seconds since 1970 as text, ISO 8601."""
    return str(np.datetime64(int(seconds), "s"))
