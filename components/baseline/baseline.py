"""Measure the baselines of a data set on its test split."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from components.artifacts.baselines import Baselines, Rival, save_baselines, season_names
from components.artifacts.dataset import LEAST_DEVIATION, SPLITS, ImagesInfo, SeriesInfo, load_info
from components.artifacts.series_table import SeriesTable, load_table
from components.baseline.rivals import rolling
from components.data import storage
from components.metrics import conformal, metrics
from components.readers.time_axis import Frequency

# The most bytes of the training examples that a linear model is fitted on. They are spread evenly over the split.
FIT_BYTES = 256 << 20
LINEAR_ITERATIONS = 50
# The number of windows that are cut together. Each is far larger than the rows that it adds to those before it.
TOGETHER = 1 << 14


def measure(dataset: str, folder: str, quantiles: Sequence[float] = (), rivals: Sequence[Rival] = ()) -> Baselines:
    """Fit and measure every baseline of a data set.

    Args:
        dataset: The data set's folder.
        folder: The folder to write `baselines.json` into.
        quantiles: The quantiles that the models of a series forecast. The baselines get intervals of the same shares,
            from their errors on the validation split (split conformal prediction, Lei et al. 2018, arXiv:1604.04173).
        rivals: The rivals from statsforecast, for one series.

    Returns:
        The metrics of each baseline, which are those of the data set's task.
    """
    info = load_info(dataset)
    baselines = _images(dataset, info) if isinstance(info, ImagesInfo) else _series(dataset, info, quantiles, rivals)
    save_baselines(Path(folder), baselines)
    for name, values in baselines.items():
        print(f"{name}: " + "  ".join(f"{metric} {value:.4f}" for metric, value in values.items()), flush=True)
    return baselines


def _images(dataset: str, info: ImagesInfo) -> Baselines:
    mean, std = np.array(info.mean, np.float32), np.array(info.std, np.float32)

    def features(images: np.ndarray) -> np.ndarray:
        return ((images - mean) / std).reshape(len(images), -1)

    images, labels = storage.load_images(dataset, info, "train")
    fitted = _evenly_spaced(len(images), 4 * int(np.prod(info.shape)))
    linear = LogisticRegression(max_iter=LINEAR_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.fit(features(images[fitted]), labels[fitted])
    images, labels = storage.load_images(dataset, info, "test")
    shares = np.array(info.label_counts["train"]) / info.records["train"]
    probabilities = np.zeros((len(labels), len(info.classes)))
    probabilities[:, linear.classes_] = linear.predict_proba(features(images))
    return {
        "majority_class": metrics.measure("classification", labels, np.tile(shares, (len(labels), 1))),
        "linear": metrics.measure("classification", labels, probabilities),
    }


def _series(dataset: str, info: SeriesInfo, quantiles: Sequence[float], rivals: Sequence[Rival]) -> Baselines:
    """The baselines of a series, or of many: each window is forecast from its own rows, whichever series they are."""
    table = load_table(dataset, info)
    baselines = {"last_value": _repeated(1)}
    seasons = Frequency(info.frequency).seasons()
    baselines |= {name: _repeated(seasons[name]) for name in season_names(info.frequency, info.lookback)}
    baselines["ridge"] = _ridge(dataset, info, table)
    if info.known:
        baselines["ridge_known_future"] = _ridge(dataset, info, table, future=True)
    rolled: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if rivals:
        # The splits follow each other without a gap.
        target = np.concatenate([storage.load_rows(dataset, info, split)[:, 0] for split in SPLITS])
        rolled = {name: rolling(name, target, info.records["train"], info.frequency, info.horizon) for name in rivals}

    def forecasts_of(split: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rows, first = storage.load_rows(dataset, info, split), table.first_rows(info, split)
        # The windows of one series are few enough to be forecast together.
        together = TOGETHER if info.series else len(first)
        parts = []
        for start in range(0, len(first), together):
            windows = _windows(rows, info, first[start : start + together])
            parts.append({name: forecast(windows, info) for name, forecast in baselines.items()} | {"": windows.target})
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        targets = found.pop("")
        before = sum(info.records[other] for other in SPLITS[: SPLITS.index(split)])
        found |= {name: forecast(before + first + info.lookback) for name, forecast in rolled.items()}
        return found, targets

    points, targets = forecasts_of("test")
    others, others_targets = forecasts_of("validation") if quantiles else (points, targets)
    scale = table.scales(info, "test")
    # Of many series, an interval is as wide as its series' errors are large.
    units = {split: table.loss_scale[table.numbers(info, split)][:, None, None] for split in ("validation", "test")}
    found = {}
    for name, point in points.items():
        forecasts = point
        if quantiles:
            repeated = np.repeat(others[name][..., None], len(quantiles), axis=-1)
            moved = conformal.offsets(others_targets, repeated, quantiles, units["validation"])
            forecasts = point[..., None] + moved * units["test"]
        found[name] = metrics.measure("forecasting", targets, forecasts, scale, quantiles)
    return found


class _Windows(NamedTuple):
    """Windows of a series, in its own units.

    Attributes:
        past: The rows that a model sees, float32 [windows, lookback, columns].
        future: The columns that are known in the future, float32 [windows, horizon, known].
        target: The target of the rows to forecast, float32 [windows, horizon].
    """

    past: np.ndarray
    future: np.ndarray
    target: np.ndarray


# A function that forecasts the target, [windows, horizon], from `past` and `future` alone.
_Forecast = Callable[[_Windows, SeriesInfo], np.ndarray]


def _repeated(season: int) -> _Forecast:
    """Repeat the last values, as many as a season has rows."""

    def forecast(windows: _Windows, info: SeriesInfo) -> np.ndarray:
        return windows.past[:, info.lookback - season + np.arange(info.horizon) % season, 0]

    return forecast


def _ridge(dataset: str, info: SeriesInfo, table: SeriesTable, future: bool = False) -> _Forecast:
    """Forecast every step of the horizon by a ridge regression, one for all series.

    Its features are all columns of the window, and with `future` those that are known of the horizon.
    """
    columns, known = len(info.columns), info.known_places() if future else []
    means, stds = np.array(info.mean, np.float32), np.array(info.std, np.float32)
    mean, std = means[:columns], stds[:columns]

    def scale(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the deviation of the target that a model scales with: the window's, or that of all rows."""
        if info.scaling == "shared":
            return mean[0], std[0]
        target = windows[:, :, 0].astype(np.float64)
        own = target.mean(axis=1, keepdims=True)
        least = np.maximum(LEAST_DEVIATION * np.abs(own), 1e-6 * info.std[0])
        return own, np.maximum(target.std(axis=1, keepdims=True), least)

    def features(windows: _Windows) -> np.ndarray:
        values = (windows.past - mean) / std
        if info.scaling == "window":
            own, deviation = scale(windows.past)
            values[:, :, 0] = (windows.past[:, :, 0] - own) / deviation
        parts = [values, (windows.future - means[known]) / stds[known]] if future else [values]
        # In float32, nearly collinear columns make scikit-learn's solver fail, and a far slower one takes its place.
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1, dtype=np.float64)

    rows, first = storage.load_rows(dataset, info, "train"), table.first_rows(info, "train")
    chosen = _evenly_spaced(len(first), 8 * (info.lookback * columns + info.horizon * len(known)))

    def prepared(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        windows = _windows(rows, info, first[part])
        level, deviation = scale(windows.past)
        outputs = (windows.target - level) / deviation
        return features(windows), outputs, np.broadcast_to(deviation, (len(part), 1))

    parts = [prepared(chosen[start : start + TOGETHER]) for start in range(0, len(chosen), TOGETHER)]
    inputs, outputs, deviation = (np.concatenate(values) for values in zip(*parts, strict=True))
    del parts
    weights = None
    if info.scaling == "window":
        # An error counts in units of its series' scale, as in a training's loss. A flat window's own deviation is tiny.
        weights = (deviation[:, 0] / table.loss_scale[table.numbers(info, "train")[chosen]]) ** 2
    ridge = Ridge(copy_X=False).fit(inputs, outputs, sample_weight=weights)
    del inputs

    def forecast(windows: _Windows, info: SeriesInfo) -> np.ndarray:
        level, deviation = scale(windows.past)
        return ridge.predict(features(windows)).reshape(len(windows.past), -1) * deviation + level

    return forecast


def _windows(rows: np.ndarray, info: SeriesInfo, first: np.ndarray) -> _Windows:
    """Cut the windows that start at the rows `first`."""
    values = rows[first[:, None] + np.arange(info.lookback + info.horizon)]
    past, horizon = values[:, : info.lookback, : len(info.columns)], values[:, info.lookback :]
    return _Windows(past, horizon[:, :, info.known_places()], horizon[:, :, 0])


def _evenly_spaced(examples: int, size: int) -> np.ndarray:
    """The numbers of the examples to fit on, each of `size` bytes."""
    return np.unique(np.linspace(0, examples - 1, min(examples, max(1, FIT_BYTES // size))).round().astype(int))
