"""Write the rows of many series, and check the written ones.

Each split has the rows of all series, one series after the other.
"""

from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

import numpy as np

from components.artifacts.dataset import SPLITS, Check, SeriesInfo
from components.artifacts.series_table import SeriesTable, loss_scale, save_table
from components.common.spec import Facts, SeriesOptions
from components.data.source_data import Series
from components.data.storage import read_rows, row_features
from components.ingest.check_series import LEAST_STD, check_rows, mean_and_std, row_checks, series_info, utc
from components.ingest.digest import digest
from components.ingest.tfrecords import SplitWriter, row_record, row_types, write_metadata
from components.readers.time_axis import Frequency, calendar_columns, calendar_values, seconds_of

# Names of series that are listed in a line.
_MOST_NAMES = 5


def write(data: Series, options: SeriesOptions, facts: Facts, name: str, folder: Path) -> list[str]:
    """Write the rows of all series but those that are left out, and return the series' names."""
    assert data.many is not None and facts.cuts is not None  # noqa: S101 (the caller has checked)
    columns = [*data.columns, *calendar_columns(options.calendar)]
    left_out = set(facts.left_out)
    names: list[str] = []
    writers = [SplitWriter(folder, name, split, 4 * len(columns) + 80) for split in SPLITS]
    for series, rows in data.many():
        if series in left_out:
            continue
        for time, values in rows:
            seconds = seconds_of(time)
            split = bisect_right(facts.cuts, seconds)
            if split < len(writers):
                stored = [*values, *calendar_values(time, options.calendar)]
                writers[split].add(row_record(seconds, stored, len(names)))
        names.append(series)
    description = f"Rows of {len(names):,} series of {name}: {', '.join(columns)}."
    write_metadata(folder, row_types(columns, many=True), [writer.finish() for writer in writers], description)
    return names


def describe(
    data: Series, options: SeriesOptions, facts: Facts, names: list[str], name: str, source: str, folder: Path
) -> SeriesInfo:
    """Check the rows and describe them. Writes the series' table.

    Raises:
        InputError: Times of a series aren't one step apart, or a value isn't finite.
    """
    frequency = Frequency(data.frequency)
    stored = [*data.columns, *calendar_columns(options.calendar)]
    rows = np.zeros((len(names), len(SPLITS)), np.int64)
    last: dict[int, int] = {}
    moments: dict[str, list[int]] = {}
    sums = _TrainingSums(len(names), len(stored), frequency.season())
    for i, split in enumerate(SPLITS):
        for times, values, numbers in read_rows(folder, split, len(stored), many=True).as_numpy_iterator():
            rows[:, i] += np.bincount(numbers, minlength=len(names))
            seen = [*moments.get(split, []), times.min(), times.max()]
            moments[split] = [min(seen), max(seen)]
            for start, end in _runs(numbers):
                series = int(numbers[start])
                where = f"{name}: series '{names[series]}'"
                before = last.get(series)
                last[series] = check_rows(times[start:end], values[start:end], before, frequency, stored, where)
            if split == "train":
                sums.add(values.astype(np.float64), numbers)
    mean, std = mean_and_std(sums.total, sums.squares, int(rows[:, 0].sum()))
    scale, weighed_by, constant = sums.scales(rows[:, 0])
    table = SeriesTable(np.array(names), rows, scale, weighed_by)
    save_table(folder, table)
    window = options.lookback + options.horizon
    records = dict(zip(SPLITS, rows.sum(axis=0).tolist(), strict=True))
    cuts = [utc(cut) for cut in facts.cuts or ()]
    order = f"a row every {frequency.words()} in each series, across splits too"
    overlap = f"0 rows: validation begins at {cuts[0]} and test at {cuts[1]} in every series"
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
        sha256=digest(folder, row_features(len(stored), many=True), "\0".join(names).encode()),
        checks=[
            Check(name="series", found=f"{len(names):,} by {data.form.series}"),
            *row_checks(records, len(stored), order, overlap, facts),
            *_constant(table.names[constant].tolist()),
        ],
        seasonal_error=float(scale.mean()),
        static=data.static,
        windows={split: int(np.maximum(rows[:, i] - window + 1, 0).sum()) for i, split in enumerate(SPLITS)},
    )


def _constant(names: list[str]) -> list[Check]:
    """The series whose target is constant in training, if there are any, for the log and the report."""
    shown = ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
    found = f"{len(names):,}, {shown}: they take the mean of the others' scales of mase"
    return [Check(name="series that are constant in training", found=found)] if names else []


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    """The first and the last position, exclusive, of each series in a batch."""
    borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    return list(pairwise(borders))


class _TrainingSums:
    """Sums over the training rows: of all series by column, and of each series' target."""

    def __init__(self, series: int, columns: int, season: int) -> None:
        self.total, self.squares = np.zeros(columns), np.zeros(columns)
        self._series, self._season = series, season
        self._target, self._target_squares, self._errors = (np.zeros(series) for _ in range(3))
        self._pairs = np.zeros(series, np.int64)
        self._last_targets, self._last_numbers = np.zeros(0), np.zeros(0, np.int64)

    def add(self, values: np.ndarray, numbers: np.ndarray) -> None:
        """Add a batch of rows: their values, float64 [rows, columns], and the numbers of their series."""
        self.total, self.squares = self.total + values.sum(axis=0), self.squares + (values**2).sum(axis=0)
        target = values[:, 0]
        self._target += self._by_series(numbers, target)
        self._target_squares += self._by_series(numbers, target**2)
        targets = np.concatenate([self._last_targets, target])
        of = np.concatenate([self._last_numbers, numbers])
        same = of[self._season :] == of[: -self._season]
        errors = np.abs(targets[self._season :] - targets[: -self._season])[same]
        self._errors += self._by_series(of[self._season :][same], errors)
        self._pairs += np.bincount(of[self._season :][same], minlength=self._series)
        self._last_targets, self._last_numbers = targets[-self._season :], of[-self._season :]

    def scales(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The scale of MASE and of the loss of each series, and whether its target is constant.

        Args:
            rows: The number of each series' training rows, int64 [series].
        """
        mean = self._target / rows
        std = np.sqrt(np.maximum(self._target_squares / rows - mean**2, 0))
        constant = std <= LEAST_STD * np.maximum(np.abs(mean), 1)
        # Where a series repeats itself exactly or is shorter than a season, its standard deviation is the scale.
        scale = np.where(self._errors > 0, self._errors / np.maximum(self._pairs, 1), std)
        # A constant series has no scale of its own. It takes that of the others, in the same unit.
        scale[constant] = scale[~constant].mean() if not constant.all() else 1.0
        return scale, loss_scale(scale, std, mean), constant

    def _by_series(self, numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(numbers, values, minlength=self._series)
