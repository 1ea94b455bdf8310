"""Measure the baselines of a data set on its test split."""

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from components.artifacts.baselines import Baselines, baseline_names, save_baselines
from components.artifacts.dataset import ImagesInfo, SeriesInfo, load_info
from components.data import storage
from components.metrics import metrics
from components.readers.time_axis import Frequency

# The most bytes of the training examples that a linear model is fitted on. They are spread evenly over the split.
FIT_BYTES = 256 << 20
LINEAR_ITERATIONS = 50


def measure(dataset: str, folder: str) -> Baselines:
    """Fit and measure every baseline of a data set.

    Args:
        dataset: The data set's folder.
        folder: The folder to write `baselines.json` into.

    Returns:
        The metrics of each baseline, which are those of the data set's task.
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


def _series(dataset: str, info: SeriesInfo) -> Baselines:
    rows = storage.load_rows(dataset, info, "test")
    windows, targets = _windows(rows, info, np.arange(info.examples("test")))
    past = windows[:, :, 0]
    forecasts = {"last_value": np.repeat(past[:, -1:], info.horizon, axis=1)}
    seasons = Frequency(info.frequency).seasons()
    names = baseline_names("forecasting", info.frequency, info.lookback)
    for name in names[1:-1]:
        steps = np.arange(info.horizon) % seasons[name]
        forecasts[name] = past[:, info.lookback - seasons[name] + steps]
    forecasts["ridge"] = _ridge(dataset, info, windows)
    return {name: metrics.measure("forecasting", targets, forecasts[name], info.seasonal_error) for name in names}


def _ridge(dataset: str, info: SeriesInfo, windows: np.ndarray) -> np.ndarray:
    """Forecast every step of the horizon by a ridge regression on all columns of the window."""
    columns = len(info.columns)
    mean, std = np.array(info.mean[:columns], np.float32), np.array(info.std[:columns], np.float32)

    def features(values: np.ndarray) -> np.ndarray:
        # In float32, nearly collinear columns make scikit-learn's solver fail, and a far slower one takes its place.
        return ((values - mean) / std).reshape(len(values), -1).astype(np.float64)

    rows = storage.load_rows(dataset, info, "train")
    first = _evenly_spaced(info.examples("train"), 8 * info.lookback * columns)
    fitted, targets = _windows(rows, info, first)
    ridge = Ridge().fit(features(fitted), (targets - mean[0]) / std[0])
    return ridge.predict(features(windows)).reshape(len(windows), info.horizon) * std[0] + mean[0]


def _windows(rows: np.ndarray, info: SeriesInfo, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows that start at the rows `first`, [windows, lookback, columns], and their targets."""
    values = rows[first[:, None] + np.arange(info.lookback + info.horizon)]
    return values[:, : info.lookback, : len(info.columns)], values[:, info.lookback :, 0]


def _evenly_spaced(examples: int, size: int) -> np.ndarray:
    """The numbers of the examples to fit on, each of `size` bytes."""
    return np.unique(np.linspace(0, examples - 1, min(examples, max(1, FIT_BYTES // size))).round().astype(int))
