"""`series.npz` in the `Dataset` folder of many series: their names, rows and scales.

It has a row for each series and grows with them, so it isn't part of a model's folder, and no model needs it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from components.artifacts.dataset import SPLITS, SeriesInfo

FILE = "series.npz"


@dataclass(frozen=True)
class SeriesTable:
    """The series of a data set, in the order in which each split has their rows.

    Attributes:
        names: Their names, str [series], in sorted order.
        rows: The number of their rows in each split, int64 [series, splits].
        scale: The scale of MASE of each series, float64 [series]: the mean absolute difference of two targets one
            season apart, over its own training rows.
        loss_scale: The scale of each series' error in a training's loss, from `loss_scale`, float64 [series].
    """

    names: np.ndarray
    rows: np.ndarray
    scale: np.ndarray
    loss_scale: np.ndarray

    def windows(self, info: SeriesInfo, split: str) -> np.ndarray:
        """The number of windows of each series in a split, int64 [series]."""
        return np.maximum(self.rows[:, SPLITS.index(split)] - info.lookback - info.horizon + 1, 0)

    def skipped(self, info: SeriesInfo, split: str) -> np.ndarray:
        """The number of rows before each series at which no window of a split begins, int64 [series]."""
        windows, rows = self.windows(info, split), self.rows[:, SPLITS.index(split)]
        return np.cumsum(rows) - rows - (np.cumsum(windows) - windows)

    def first_rows(self, info: SeriesInfo, split: str) -> np.ndarray:
        """The row at which each window of a split begins, int64 [windows]."""
        windows = self.windows(info, split)
        return np.arange(windows.sum()) + np.repeat(self.skipped(info, split), windows)

    def numbers(self, info: SeriesInfo, split: str) -> np.ndarray:
        """The number of the series that each window of a split belongs to, int64 [windows]."""
        return np.repeat(np.arange(len(self.names)), self.windows(info, split))

    def scales(self, info: SeriesInfo, split: str) -> "float | np.ndarray":
        """The scale of MASE of each window of a split, float64 [windows]; one number where there is one series."""
        return self.scale[self.numbers(info, split)] if info.series else info.seasonal_error

    def places(self, info: SeriesInfo, split: str, times: np.ndarray) -> np.ndarray | None:
        """The place of each window of a split among many series and in time, see `evaluation.load_places`.

        Args:
            info: The description of the data set.
            split: The split.
            times: The times of its rows, int64 [rows].
        """
        if not info.series:
            return None
        _, moments = np.unique(times[self.first_rows(info, split)], return_inverse=True)
        return np.stack([self.numbers(info, split), moments], axis=1)


def loss_scale(scale: np.ndarray, std: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The scale of each series' error in a training's loss, float64 [series].

    It is that of MASE, but at least half the standard deviation and a thousandth of the mean: the few sales of an item
    that is hardly ever sold would weigh more than all other series.

    Args:
        scale: The scale of MASE, float64 [series].
        std: The standard deviation of the target over the training rows, float64 [series].
        mean: Its mean, float64 [series].
    """
    return np.maximum(scale, np.maximum(std / 2, 1e-3 * np.abs(mean)))


def save_table(folder: Path, table: SeriesTable) -> None:
    """Write `series.npz`."""
    np.savez(folder / FILE, **asdict(table))


def load_table(folder: Path | str, info: SeriesInfo) -> SeriesTable:
    """Read `series.npz`. One series is a table with one row."""
    if not info.series:
        rows = [[info.records[split] for split in SPLITS]]
        scale, std, mean = (np.array([value]) for value in (info.seasonal_error, info.std[0], info.mean[0]))
        return SeriesTable(np.array([""]), np.array(rows), scale, loss_scale(scale, std, mean))
    with np.load(Path(folder) / FILE, allow_pickle=False) as saved:
        return SeriesTable(**saved)
