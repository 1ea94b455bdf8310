"""Measure the baselines of a data set on its test split."""

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from components.artifacts.baselines import Baselines, save_baselines
from components.artifacts.dataset import ImagesInfo, SeriesInfo, load_info
from components.data import storage
from components.metrics import metrics
from components.metrics.baselines import baseline_names
from components.readers.time_axis import Frequency

# The linear models are fitted on as many training examples as fit in so many bytes, evenly spaced.
FIT_BYTES = 256 << 20
LINEAR_ITERATIONS = 50


def measure(dataset: str, folder: str) -> Baselines:
    """Fit and measure every baseline of a data set.

    Args:
        dataset: The data set folder.
        folder: The folder to write `baselines.json` into.

    Returns:
        For each baseline its metrics, those of the data set's task.
    """
    info = load_info(dataset)
    baselines = _images(dataset, info) if isinstance(info, ImagesInfo) else _series(dataset, info)
    save_baselines(Path(folder), baselines)
    for name, values in baselines.items():
        print(f"{name}: " + "  ".join(f"{metric} {value:.4f}" for metric, value in values.items()), flush=True)
    return baselines


def _images(dataset: str, info: ImagesInfo) -> Baselines:
    mean, std = np.array(info.mean, np.float32), np.array(info.std, np.float32)

    def features(images: np.ndarray) -> np.ndarray:
        return ((images - mean) / std).reshape(len(images), -1)

    images, labels = storage.load_images(dataset, info, "train")
    kept = _evenly(len(images), 4 * int(np.prod(info.shape)))
    linear = LogisticRegression(max_iter=LINEAR_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.fit(features(images[kept]), labels[kept])
    images, labels = storage.load_images(dataset, info, "test")
    shares = np.array(info.label_counts["train"]) / info.records["train"]
    probabilities = np.zeros((len(labels), len(info.classes)))
    probabilities[:, linear.classes_] = linear.predict_proba(features(images))
    return {
        "majority_class": metrics.measure("classification", labels, np.tile(shares, (len(labels), 1))),
        "linear": metrics.measure("classification", labels, probabilities),
    }


def _series(dataset: str, info: SeriesInfo) -> Baselines:
    rows = storage.load_rows(dataset, info, "test")
    windows, target = _cut(rows, info, np.arange(info.examples("test")))
    known = windows[:, :, 0]
    forecasts = {"last_value": np.repeat(known[:, -1:], info.horizon, axis=1)}
    seasons = Frequency(info.frequency).seasons()
    names = baseline_names("forecasting", info.frequency, info.lookback)
    for name in names[1:-1]:
        ahead = np.arange(info.horizon) % seasons[name]
        forecasts[name] = known[:, info.lookback - seasons[name] + ahead]
    forecasts["ridge"] = _ridge(dataset, info, windows)
    return {name: metrics.measure("forecasting", target, forecasts[name], info.seasonal_error) for name in names}


def _ridge(dataset: str, info: SeriesInfo, windows: np.ndarray) -> np.ndarray:
    """Forecast every step ahead by ridge regression on all columns of the window."""
    columns = len(info.columns)
    mean, std = np.array(info.mean[:columns], np.float32), np.array(info.std[:columns], np.float32)

    def features(values: np.ndarray) -> np.ndarray:
        # In float32 nearly collinear columns make the solver give up and fall back to a far slower one.
        return ((values - mean) / std).reshape(len(values), -1).astype(np.float64)

    rows = storage.load_rows(dataset, info, "train")
    kept = _evenly(info.examples("train"), 8 * info.lookback * columns)
    fitted, target = _cut(rows, info, kept)
    ridge = Ridge().fit(features(fitted), (target - mean[0]) / std[0])
    return ridge.predict(features(windows)).reshape(len(windows), info.horizon) * std[0] + mean[0]


def _cut(rows: np.ndarray, info: SeriesInfo, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = rows[first[:, None] + np.arange(info.lookback + info.horizon)]
    return values[:, : info.lookback, : len(info.columns)], values[:, info.lookback :, 0]


def _evenly(examples: int, size: int) -> np.ndarray:
    return np.unique(np.linspace(0, examples - 1, min(examples, max(1, FIT_BYTES // size))).round().astype(int))
