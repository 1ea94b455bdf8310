"""The metrics of both tasks, the same for models and for baselines.

A new metric is a function and its entry in `METRICS`. Whatever measures, ranks, judges or shows models reads that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union

from components.common.spec import Task

if TYPE_CHECKING:  # the command line reads the names, and has no use for NumPy
    import numpy as np

# One number, or one for each window where there are many series: float64 [windows].
Scale = Union[float, "np.ndarray"]
# The third argument is the scale of MASE, or the quantiles.
Measure = Callable[["np.ndarray", "np.ndarray", Any], float]
# It takes indices of examples, int64 [examples], or a slice of all of them.
Resampled = Callable[[Any], float]
Prepare = Callable[["np.ndarray", "np.ndarray", Any], Resampled]


@dataclass(frozen=True)
class Metric:
    """A metric of a task.

    Its functions take the targets, the predictions, and the scale of MASE: the labels, int64 [examples], and the
    probabilities, float [examples, classes]; or the targets and the forecasts, float [windows, horizon]. Those of a
    metric of quantiles take the forecasts of all quantiles, float [windows, horizon, quantiles], and the quantiles.

    Attributes:
        name: Its name in results, claims and tables.
        measure: Gives its value.
        fast: Gives a function of the indices of examples, int64 [examples], which gives the value for these. The
            bootstrap calls it a thousand times. None: `measure` is fast enough for that.
        higher_is_better: Whether a higher value is better. Where it is, 1 stands for no error at all.
        unit: "share": it runs from 0 to 1. "target": it is in the target's unit. "": it is a plain number.
        of_quantiles: Whether it measures quantiles, so that only forecasts with quantiles have it.
    """

    name: str
    measure: Measure
    fast: Prepare | None = None
    higher_is_better: bool = False
    unit: Literal["", "share", "target"] = ""
    of_quantiles: bool = False

    def error(self, value: float) -> float:
        """The value, or what it lacks to 1 where higher is better, so that a smaller one is better."""
        return 1 - value if self.higher_is_better else value

    def heading(self, unit: str) -> str:
        """The name, with the target's unit where the metric has it: "mae in GW"."""
        return f"{self.name} in {unit}" if unit and self.unit == "target" else self.name


def _both(fast: Prepare) -> tuple[Measure, Prepare]:
    """The functions of a metric whose `fast` gives the same for all examples as for a sample that has each once."""
    return lambda target, prediction, third: fast(target, prediction, third)(slice(None)), fast


def _mean(
    each: Callable[[np.ndarray, np.ndarray, Any], np.ndarray], then: Callable[[float], float] = float
) -> tuple[Measure, Prepare]:
    """The functions of a metric that is the mean of what `each` gives, float or bool [examples], or follows from it."""

    def fast(target: np.ndarray, prediction: np.ndarray, third: Any) -> Resampled:  # noqa: ANN401
        values = each(target, prediction, third)
        return lambda sample: then(values[sample].mean())

    return _both(fast)


def _anew(measure: Measure) -> Prepare:
    """The function of a metric that is measured anew for each sample."""
    return lambda target, prediction, third: lambda sample: measure(target[sample], prediction[sample], third)


def _right(labels: np.ndarray, probabilities: np.ndarray, scale: Scale) -> np.ndarray:
    return probabilities.argmax(axis=1) == labels


def _macro_f1(labels: np.ndarray, probabilities: np.ndarray, scale: Scale) -> Resampled:
    import numpy as np

    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)

    def resampled(sample: Any) -> float:  # noqa: ANN401
        counts = np.bincount(pairs[sample], minlength=classes**2).reshape(classes, classes)
        # F1 = 2 TP / (2 TP + FP + FN), and a row and a column sum to 2 TP + FP + FN together.
        f1 = 2 * np.diag(counts) / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
        return float(f1.mean())

    return resampled


def _loss(labels: np.ndarray, probabilities: np.ndarray, scale: Scale) -> float:
    from sklearn.metrics import log_loss

    # Rows of float32 sum to 1 within 1e-6, and log_loss needs them closer to it.
    exact = probabilities.astype("float64")
    exact /= exact.sum(axis=1, keepdims=True)
    return float(log_loss(labels, exact, labels=range(probabilities.shape[1])))


def _fast_loss(labels: np.ndarray, probabilities: np.ndarray, scale: Scale) -> Resampled:
    import numpy as np

    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses = -np.log(np.clip(chosen, 1e-15, None))
    return lambda sample: float(losses[sample].mean())


def _distance(labels: np.ndarray, probabilities: np.ndarray, scale: Scale) -> np.ndarray:
    """The distance of being right from the confidence, with the sign that makes its bin's sum positive.

    The mean of all examples is the ECE. In a sample each bin keeps its sign: a distance without sign grows by the noise
    of a sample, so that a small ECE would lie below its own interval.
    """
    import numpy as np

    from components.metrics.confidence import confidence_bins

    confidence, right, bins = confidence_bins(labels, probabilities)
    distance = right - confidence
    return distance * np.sign(np.bincount(bins, distance))[bins]


def _absolute(target: np.ndarray, forecast: np.ndarray, scale: Scale) -> np.ndarray:
    return abs(forecast.astype("float64") - target).mean(axis=1)


def _squared(target: np.ndarray, forecast: np.ndarray, scale: Scale) -> np.ndarray:
    return ((forecast.astype("float64") - target) ** 2).mean(axis=1)


def _scaled(target: np.ndarray, forecast: np.ndarray, scale: Scale) -> np.ndarray:
    return _absolute(target, forecast, scale) / scale


def _pinball(target: np.ndarray, forecasts: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """The mean pinball loss of all quantiles (Koenker and Bassett 1978, doi:10.2307/1913643), float64 [windows]."""
    import numpy as np

    errors = [target - forecasts[..., i].astype("float64") for i in range(len(quantiles))]
    losses = [np.maximum(q * error, (q - 1) * error).mean(axis=1) for q, error in zip(quantiles, errors, strict=True)]
    return np.mean(losses, axis=0)


def _inside(target: np.ndarray, forecasts: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    return ((forecasts[..., 0] <= target) & (target <= forecasts[..., -1])).mean(axis=1)


def _width(target: np.ndarray, forecasts: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    return (forecasts[..., -1].astype("float64") - forecasts[..., 0]).mean(axis=1)


# The metrics of each task, in the order of the tables. The first one ranks the models, and `bootstrap.errors` has its
# error of each example.
METRICS: dict[Task, tuple[Metric, ...]] = {
    "classification": (
        Metric("accuracy", *_mean(_right), higher_is_better=True, unit="share"),
        Metric("macro_f1", *_both(_macro_f1), higher_is_better=True, unit="share"),
        Metric("loss", _loss, _fast_loss),
        Metric("ece", *_mean(_distance, lambda mean: max(0.0, float(mean))), unit="share"),
    ),
    "forecasting": (
        Metric("mae", *_mean(_absolute), unit="target"),
        Metric("rmse", *_mean(_squared, math.sqrt), unit="target"),
        Metric("mase", *_mean(_scaled)),
        # The share of the targets between the lowest and the highest quantile, and the mean distance of these two.
        Metric("coverage", *_mean(_inside), higher_is_better=True, unit="share", of_quantiles=True),
        Metric("width", *_mean(_width), unit="target", of_quantiles=True),
        Metric("pinball", *_mean(_pinball), unit="target", of_quantiles=True),
    ),
}


def named(name: str) -> Metric:
    """The metric of a name."""
    return next(metric for metrics in METRICS.values() for metric in metrics if metric.name == name)


def least(task: Task) -> list[str]:
    """The metrics of a task that a gate may ask a least value of: the shares that are better the higher they are."""
    return [metric.name for metric in METRICS[task] if metric.unit == "share" and metric.higher_is_better]


def found_in(task: Task, measured: Iterable[Mapping[str, float]]) -> list[Metric]:
    """The metrics of a task that at least one of some models or baselines has."""
    names = {name for values in measured for name in values}
    return [metric for metric in METRICS[task] if metric.name in names or not metric.of_quantiles]


def point_forecast(prediction: np.ndarray) -> np.ndarray:
    """The medians of quantiles, [windows, horizon]; predictions without quantiles as they are."""
    return prediction[..., prediction.shape[-1] // 2] if prediction.ndim > 2 else prediction


def measure(
    task: Task, target: np.ndarray, prediction: np.ndarray, scale: Scale = math.nan, quantiles: Sequence[float] = ()
) -> dict[str, float]:
    """Each metric of a task.

    Args:
        task: The task.
        target: The labels, int64 [examples]; or the targets, float [windows, horizon].
        prediction: The probabilities, float [examples, classes]; or the forecasts, float [windows, horizon], or with
            quantiles [windows, horizon, quantiles].
        scale: The scale of MASE: `SeriesInfo.seasonal_error`, or of many series that of each window's own.
        quantiles: The quantiles that are forecast. Without any, the metrics of quantiles are left out.
    """
    given = _arguments(task, target, prediction, scale, quantiles)
    return {metric.name: metric.measure(*arguments) for metric, arguments in given}


def resampled(
    task: Task, target: np.ndarray, prediction: np.ndarray, scale: Scale = math.nan, quantiles: Sequence[float] = ()
) -> Callable[[np.ndarray], dict[str, float]]:
    """A function that gives each metric for the examples of some indices. The arguments are those of `measure`."""
    given = _arguments(task, target, prediction, scale, quantiles)
    prepared = {metric.name: (metric.fast or _anew(metric.measure))(*arguments) for metric, arguments in given}
    return lambda sample: {name: of(sample) for name, of in prepared.items()}


def _arguments(
    task: Task, target: np.ndarray, prediction: np.ndarray, scale: Scale, quantiles: Sequence[float]
) -> list[tuple[Metric, tuple[np.ndarray, np.ndarray, Scale | Sequence[float]]]]:
    """The metrics that the predictions have, each with its arguments."""
    points = point_forecast(prediction)
    return [
        (metric, (target, prediction, quantiles) if metric.of_quantiles else (target, points, scale))
        for metric in METRICS[task]
        if quantiles or not metric.of_quantiles
    ]
