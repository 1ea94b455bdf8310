"""The metrics of both tasks, the same for models and for baselines.

A new metric is a function and its entry in `METRICS`. Whatever measures, ranks, judges or shows models reads that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from components.common.spec import Task

if TYPE_CHECKING:  # the command line reads the names, and has no use for NumPy
    import numpy as np

Measure = Callable[["np.ndarray", "np.ndarray", float], float]
Resampled = Callable[["np.ndarray"], float]


@dataclass(frozen=True)
class Metric:
    """A metric of a task.

    Its functions take the targets, the predictions, and the scale of MASE: the labels, int64 [examples], and the
    probabilities, float [examples, classes]; or the targets and the forecasts, float [windows, horizon].

    Attributes:
        name: Its name in results, claims and tables.
        measure: Gives its value.
        fast: Gives a function of the indices of examples, int64 [examples], which gives the value for these. The
            bootstrap calls it a thousand times. None: `measure` is fast enough for that.
        higher_is_better: Whether a higher value is better. Where it is, 1 stands for no error at all.
        unit: "share": it runs from 0 to 1. "target": it is in the target's unit. "": it is a plain number.
    """

    name: str
    measure: Measure
    fast: "Callable[[np.ndarray, np.ndarray, float], Resampled] | None" = None
    higher_is_better: bool = False
    unit: Literal["", "share", "target"] = ""

    def error(self, value: float) -> float:
        """The value, or what it lacks to 1 where higher is better, so that a smaller one is better."""
        return 1 - value if self.higher_is_better else value

    def heading(self, unit: str) -> str:
        """The name, with the target's unit where the metric has it: "mae in GW"."""
        return f"{self.name} in {unit}" if unit and self.unit == "target" else self.name


def _accuracy(labels: "np.ndarray", probabilities: "np.ndarray", scale: float) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def _fast_accuracy(labels: "np.ndarray", probabilities: "np.ndarray", scale: float) -> Resampled:
    right = probabilities.argmax(axis=1) == labels
    return lambda sample: float(right[sample].mean())


def _macro_f1(labels: "np.ndarray", probabilities: "np.ndarray", scale: float) -> float:
    from sklearn.metrics import f1_score

    classes, predicted = range(probabilities.shape[1]), probabilities.argmax(axis=1)
    return float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0))


def _fast_macro_f1(labels: "np.ndarray", probabilities: "np.ndarray", scale: float) -> Resampled:
    import numpy as np

    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)

    def resampled(sample: np.ndarray) -> float:
        counts = np.bincount(pairs[sample], minlength=classes**2).reshape(classes, classes)
        # F1 = 2 TP / (2 TP + FP + FN), and a row and a column sum to 2 TP + FP + FN together.
        f1 = 2 * np.diag(counts) / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
        return float(f1.mean())

    return resampled


def _loss(labels: "np.ndarray", probabilities: "np.ndarray", scale: float) -> float:
    from sklearn.metrics import log_loss

    # Rows of float32 sum to 1 within 1e-6, and log_loss needs them closer to it.
    exact = probabilities.astype("float64")
    exact /= exact.sum(axis=1, keepdims=True)
    return float(log_loss(labels, exact, labels=range(probabilities.shape[1])))


def _fast_loss(labels: "np.ndarray", probabilities: "np.ndarray", scale: float) -> Resampled:
    import numpy as np

    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses = -np.log(np.clip(chosen, 1e-15, None))
    return lambda sample: float(losses[sample].mean())


def _mae(target: "np.ndarray", forecast: "np.ndarray", scale: float) -> float:
    return float(abs(forecast.astype("float64") - target).mean())


def _fast_mae(target: "np.ndarray", forecast: "np.ndarray", scale: float) -> Resampled:
    absolute = abs(forecast.astype("float64") - target).mean(axis=1)
    return lambda sample: float(absolute[sample].mean())


def _rmse(target: "np.ndarray", forecast: "np.ndarray", scale: float) -> float:
    return math.sqrt(((forecast.astype("float64") - target) ** 2).mean())


def _fast_rmse(target: "np.ndarray", forecast: "np.ndarray", scale: float) -> Resampled:
    squared = ((forecast.astype("float64") - target) ** 2).mean(axis=1)
    return lambda sample: math.sqrt(squared[sample].mean())


def _mase(target: "np.ndarray", forecast: "np.ndarray", scale: float) -> float:
    return _mae(target, forecast, scale) / scale


def _fast_mase(target: "np.ndarray", forecast: "np.ndarray", scale: float) -> Resampled:
    mae = _fast_mae(target, forecast, scale)
    return lambda sample: mae(sample) / scale


# The metrics of each task, in the order of the tables. The first one ranks the models, and `bootstrap.errors` has its
# error of each example.
METRICS: dict[Task, tuple[Metric, ...]] = {
    "classification": (
        Metric("accuracy", _accuracy, _fast_accuracy, higher_is_better=True, unit="share"),
        Metric("macro_f1", _macro_f1, _fast_macro_f1, higher_is_better=True, unit="share"),
        Metric("loss", _loss, _fast_loss),
    ),
    "forecasting": (
        Metric("mae", _mae, _fast_mae, unit="target"),
        Metric("rmse", _rmse, _fast_rmse, unit="target"),
        Metric("mase", _mase, _fast_mase),
    ),
}


def named(name: str) -> Metric:
    """The metric of a name."""
    return next(metric for metrics in METRICS.values() for metric in metrics if metric.name == name)


def measure(task: Task, target: "np.ndarray", prediction: "np.ndarray", scale: float = math.nan) -> dict[str, float]:
    """Each metric of a task.

    Args:
        task: The task.
        target: The labels, int64 [examples]; or the targets, float [windows, horizon].
        prediction: The probabilities, float [examples, classes]; or the forecasts, float [windows, horizon].
        scale: The scale of MASE, `SeriesInfo.seasonal_error`.
    """
    return {metric.name: metric.measure(target, prediction, scale) for metric in METRICS[task]}


def resampled(
    task: Task, target: "np.ndarray", prediction: "np.ndarray", scale: float = math.nan
) -> "Callable[[np.ndarray], dict[str, float]]":
    """A function that gives each metric for the examples of some indices. The arguments are those of `measure`."""

    def plain(metric: Metric) -> Resampled:
        return lambda sample: metric.measure(target[sample], prediction[sample], scale)

    prepared = {m.name: m.fast(target, prediction, scale) if m.fast else plain(m) for m in METRICS[task]}
    return lambda sample: {name: of(sample) for name, of in prepared.items()}
