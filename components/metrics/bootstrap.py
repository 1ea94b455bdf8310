"""95 % intervals by resampling the test examples."""

from collections.abc import Callable, Iterator

import numpy as np

from components.metrics.metrics import point_forecast

RESAMPLES = 1000
# 2.5 % and 97.5 % of the resampled values (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13).
QUANTILES = (0.025, 0.975)

Metrics = dict[str, float]


def intervals(
    metrics: Callable[[np.ndarray], Metrics], examples: int, seed: int, block: int = 1
) -> dict[str, list[float]]:
    """Percentile intervals of metrics over test examples.

    Args:
        metrics: A function that returns the metrics of the examples with some indices, int64 [examples].
        examples: The number of test examples.
        seed: The seed of the resampling.
        block: The number of neighbours that are drawn together, from `block` of the data set's description.

    Returns:
        The lower and the upper end for each metric.
    """
    values: dict[str, list[float]] = {}
    for sample in _samples(examples, seed, block):
        for name, value in metrics(sample).items():
            values.setdefault(name, []).append(value)
    return {name: [float(q) for q in np.quantile(v, QUANTILES)] for name, v in values.items()}


def differences(errors: dict[str, np.ndarray], seed: int, block: int = 1) -> dict[tuple[str, str], list[float]]:
    """Percentile intervals of the difference between the mean errors of two models, with the samples of `intervals`.

    Each sample has the same examples for both models, so that the difficulty of an example cancels out. So two models
    can differ clearly although their own intervals overlap (paired bootstrap; Efron and Tibshirani 1993).

    Args:
        errors: The error of each test example for each model, float64 [examples].
        seed: The seed of the resampling.
        block: The number of neighbours that are drawn together, from `block` of the data set's description.

    Returns:
        For each two models, in their order, the lower and the upper end of the second's mean error less the first's.
    """
    names, means = list(errors), resampled_means(errors, seed, block)
    return {
        (first, second): [float(q) for q in np.quantile(means[:, j] - means[:, i], QUANTILES)]
        for i, first in enumerate(names)
        for j, second in enumerate(names[i + 1 :], i + 1)
    }


def resampled_means(errors: dict[str, np.ndarray], seed: int, block: int = 1) -> np.ndarray:
    """The mean error of each model in each sample of `intervals`. The arguments are those of `differences`.

    Returns:
        The means, float64 [RESAMPLES, models]. Equal models have equal means.
    """
    names = list(errors)
    examples = len(errors[names[0]])
    means = np.empty((RESAMPLES, len(names)))
    for i, sample in enumerate(_samples(examples, seed, block)):
        counts = np.bincount(sample, minlength=examples)
        # A matrix product may add up equal columns in different orders.
        means[i] = [(counts * errors[name]).mean() for name in names]
    return means


def errors(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The error of each example by the metric that ranks models: 0 or 1 for an image, the mae of a forecast.

    Args:
        target: The labels, int64 [examples]; or the targets, float32 [examples, horizon].
        prediction: The probabilities, float32 [examples, classes]; or the forecasts, float32 [examples, horizon], or
            with quantiles [examples, horizon, quantiles].

    Returns:
        The errors, float64 [examples]. Their mean is the mae, or 1 less the accuracy.
    """
    if target.ndim > 1:
        return np.abs(point_forecast(prediction).astype(np.float64) - target).mean(axis=1)
    return (prediction.argmax(axis=1) != target).astype(np.float64)


def _samples(examples: int, seed: int, block: int) -> Iterator[np.ndarray]:
    """Draw the indices of examples, int64 [examples], RESAMPLES times."""
    rng = np.random.default_rng(seed)
    block = min(block, examples)
    draws = -(-examples // block)
    offsets = np.arange(block)
    for _ in range(RESAMPLES):
        starts = rng.integers(0, examples - block + 1, size=draws)
        yield (starts[:, None] + offsets).ravel()[:examples]
