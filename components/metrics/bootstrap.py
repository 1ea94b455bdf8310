"""95 % intervals by resampling the test examples."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from components.artifacts.dataset import DatasetInfo, SeriesInfo
from components.artifacts.evaluation import load_predictions

RESAMPLES = 1000
# 2.5 % and 97.5 % of the resampled values (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13).
QUANTILES = (0.025, 0.975)

Metrics = dict[str, float]


def intervals(
    metrics: Callable[[np.ndarray], Metrics], examples: int, seed: int, block: int = 1
) -> dict[str, list[float]]:
    """Percentile intervals of metrics over test examples.

    Args:
        metrics: Gives the metrics of the examples with these indices, int64 [examples].
        examples: How many there are.
        seed: Of the resampling.
        block: See `block_of`.

    Returns:
        For each metric, the lower and the upper end.
    """
    values: dict[str, list[float]] = {}
    for sample in _samples(examples, seed, block):
        for name, value in metrics(sample).items():
            values.setdefault(name, []).append(value)
    return {name: [float(q) for q in np.quantile(v, QUANTILES)] for name, v in values.items()}


def differences(errors: dict[str, np.ndarray], seed: int, block: int = 1) -> dict[tuple[str, str], list[float]]:
    """Percentile intervals of how much worse a model is than another, drawn as `intervals` draws.

    Each sample holds the same examples for both, so what makes an example hard for every model cancels out: two
    models can differ surely though their own intervals overlap (paired bootstrap; Efron and Tibshirani 1993).

    Args:
        errors: For each model the error of each test example, float64 [examples].
        seed: Of the resampling.
        block: See `block_of`.

    Returns:
        For each two models, in their order, the lower and the upper end of the second's mean error less the first's.
    """
    names = list(errors)
    examples = len(errors[names[0]])
    means = np.empty((RESAMPLES, len(names)))
    for i, sample in enumerate(_samples(examples, seed, block)):
        counts = np.bincount(sample, minlength=examples)
        # A matrix product may add up equal columns in different orders; equal models have to have equal means.
        means[i] = [(counts * errors[name]).mean() for name in names]
    return {
        (first, second): [float(q) for q in np.quantile(means[:, j] - means[:, i], QUANTILES)]
        for i, first in enumerate(names)
        for j, second in enumerate(names[i + 1 :], i + 1)
    }


def errors_of(evaluation: Path | str, info: DatasetInfo) -> np.ndarray:
    """The error of each test example of a model that was evaluated, float64 [examples], see `errors`."""
    return errors(*load_predictions(evaluation), info)


def errors(target: np.ndarray, prediction: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """The error of each example by the metric that ranks models: 0 or 1 for an image, the mae of a forecast.

    Args:
        target: int64 [examples], or float32 [examples, horizon].
        prediction: float32 [examples, classes], or [examples, horizon].
        info: The data set.

    Returns:
        float64 [examples]; their mean is the mae, or what the accuracy lacks to 1.
    """
    if isinstance(info, SeriesInfo):
        return np.abs(prediction.astype(np.float64) - target).mean(axis=1)
    return (prediction.argmax(axis=1) != target).astype(np.float64)


def block_of(info: DatasetInfo) -> int:
    """Neighbours that are drawn together.

    Windows of a series overlap and resemble each other, so drawing them one by one would give intervals far too
    narrow (moving blocks, Künsch 1989, doi:10.1214/aos/1176347265).
    """
    return 2 * info.horizon if isinstance(info, SeriesInfo) else 1


def _samples(examples: int, seed: int, block: int) -> Iterator[np.ndarray]:
    """Indices of drawn examples, int64 [examples], RESAMPLES times."""
    rng = np.random.default_rng(seed)
    block = min(block, examples)
    draws = -(-examples // block)
    offsets = np.arange(block)
    for _ in range(RESAMPLES):
        starts = rng.integers(0, examples - block + 1, size=draws)
        yield (starts[:, None] + offsets).ravel()[:examples]
