"""Diagnostics that show where a model errs."""

from collections.abc import Sequence

import numpy as np

from components.artifacts.evaluation import Bin, Mistake, OneOfMany, Window
from components.metrics import metrics
from components.metrics.confidence import confidence_bins

MISTAKES = 12
# For each window that is shown, the share of windows with a better forecast.
WINDOWS = {"good": 0.1, "median": 0.5, "worst": 1.0}
HOUR, DAY = 3600, 86400


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """Compare confidence with accuracy in the bins of the expected calibration error.

    Args:
        labels: int64 [examples].
        probabilities: float [examples, classes].
    """
    confidence, right, bins = confidence_bins(labels, probabilities)
    return [
        Bin(
            confidence=float(confidence[bins == i].mean()),
            accuracy=float(right[bins == i].mean()),
            examples=int((bins == i).sum()),
        )
        for i in np.unique(bins)
    ]


def mistakes(labels: np.ndarray, probabilities: np.ndarray, files: Sequence[str] = ()) -> list[Mistake]:
    """The wrong predictions with the highest probabilities, in falling order.

    Args:
        labels: int64 [examples].
        probabilities: float [examples, classes].
        files: The names of the examples' files; empty where they have none.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return [
        Mistake(
            example=int(i),
            label=int(labels[i]),
            predicted=int(predicted[i]),
            probability=min(1.0, float(confidence[i])),
            file=files[i] if files else "",
        )
        for i in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    ]


def windows(error: np.ndarray, series: np.ndarray) -> list[Window]:
    """Up to three windows with a good, a median and the worst forecast, each once.

    Args:
        error: The forecasts less the targets, float64 [windows, horizon].
        series: The name of each window's series, str [windows]; "" where there is one series.
    """
    mae = np.abs(error).mean(axis=1)
    order = np.argsort(mae, kind="stable")
    names: dict[int, str] = {}
    for name, share in WINDOWS.items():
        names.setdefault(round(share * (len(order) - 1)), name)
    if 0 in names:
        names[0] = "best" if len(order) > 1 else "only"
    return [
        Window(name=name, example=int(order[i]), mae=float(mae[order[i]]), series=str(series[order[i]]))
        for i, name in names.items()
    ]


def per_hour(error: np.ndarray, times: np.ndarray, first: np.ndarray) -> dict[str, float]:
    """Mean absolute error of the rows of each hour of the day, "00" to "23", by the data's own clock.

    Args:
        error: The forecasts less the targets, float64 [windows, horizon].
        times: The times of the split's rows, int64 [rows], in seconds since 1970.
        first: The row of each window that is forecast first, int64 [windows].
    """
    rows = first[:, None] + np.arange(error.shape[1])
    hours = times[rows] // HOUR % 24
    return {f"{hour:02}": float(np.abs(error[hours == hour]).mean()) for hour in np.unique(hours)}


def each_series(
    target: np.ndarray,
    forecast: np.ndarray,
    names: np.ndarray,
    numbers: np.ndarray,
    scale: np.ndarray,
    quantiles: list[float],
) -> list[OneOfMany]:
    """The metrics of each of many series, the largest mase first.

    Args:
        target: float [windows, horizon].
        forecast: float [windows, horizon], or with quantiles [windows, horizon, quantiles].
        names: The series' names, str [series].
        numbers: The number of each window's series, int64 [windows], rising.
        scale: The scale of MASE of each window, float64 [windows].
        quantiles: The quantiles that are forecast.
    """
    ends = np.searchsorted(numbers, np.arange(len(names) + 1))
    results = []
    for name, start, end in zip(names.tolist(), ends[:-1], ends[1:], strict=True):
        own = slice(start, end)
        values = metrics.measure("forecasting", target[own], forecast[own], scale[own], quantiles)
        results.append(OneOfMany(name=name, windows=int(end - start), metrics=values))
    return sorted(results, key=lambda result: -result.metrics["mase"])
