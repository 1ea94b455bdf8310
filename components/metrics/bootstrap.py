"""95 % intervals by resampling the test examples."""

from collections.abc import Callable, Iterator

import numpy as np

from components.metrics.metrics import point_forecast

RESAMPLES = 1000
# 2.5 % and 97.5 % of the resampled values (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13).
QUANTILES = (0.025, 0.975)

Metrics = dict[str, float]


def intervals(
    metrics: Callable[[np.ndarray], Metrics],
    examples: int,
    seed: int,
    block: int = 1,
    places: np.ndarray | None = None,
) -> dict[str, list[float]]:
    """Percentile intervals of metrics over test examples.

    Args:
        metrics: A function that returns the metrics of the examples with some indices, int64 [examples].
        examples: The number of test examples.
        seed: The seed of the resampling.
        block: The number of neighbours that are drawn together, from `block` of the data set's description.
        places: For the windows of many series, the number of the series and the place in time of each, int64 [examples,
            2], see `components.artifacts.evaluation.load_places`. None where there is one series.

    Returns:
        The lower and the upper end for each metric.
    """
    values: dict[str, list[float]] = {}
    for sample in _samples(examples, seed, block, places):
        for name, value in metrics(sample).items():
            values.setdefault(name, []).append(value)
    return {name: [float(q) for q in np.quantile(v, QUANTILES)] for name, v in values.items()}


def differences(
    errors: dict[str, np.ndarray], seed: int, block: int = 1, places: np.ndarray | None = None
) -> dict[tuple[str, str], list[float]]:
    """Percentile intervals of the difference between the mean errors of two models, with the samples of `intervals`.

    Each sample has the same examples for both models, so that the difficulty of an example cancels out. So two models
    can differ clearly although their own intervals overlap (paired bootstrap; Efron and Tibshirani 1993).

    Args:
        errors: The error of each test example for each model, float64 [examples].
        seed: The seed of the resampling.
        block: The number of neighbours that are drawn together, from `block` of the data set's description.
        places: As in `intervals`.

    Returns:
        For each two models, in their order, the lower and the upper end of the second's mean error less the first's.
    """
    names, means = list(errors), resampled_means(errors, seed, block, places)
    return {
        (first, second): [float(q) for q in np.quantile(means[:, j] - means[:, i], QUANTILES)]
        for i, first in enumerate(names)
        for j, second in enumerate(names[i + 1 :], i + 1)
    }


def resampled_means(
    errors: dict[str, np.ndarray], seed: int, block: int = 1, places: np.ndarray | None = None
) -> np.ndarray:
    """The mean error of each model in each sample of `intervals`. The arguments are those of `differences`.

    Returns:
        The means, float64 [RESAMPLES, models]. Equal models have equal means.
    """
    names = list(errors)
    examples = len(errors[names[0]])
    means = np.empty((RESAMPLES, len(names)))
    for i, sample in enumerate(_samples(examples, seed, block, places)):
        counts = np.bincount(sample, minlength=examples)
        # A matrix product may add up equal columns in different orders.
        means[i] = [(counts * errors[name]).mean() for name in names]
        if places is not None:  # samples differ in their number of windows
            means[i] *= examples / len(sample)
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


def _samples(examples: int, seed: int, block: int, places: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Draw the indices of examples, int64 [examples], RESAMPLES times."""
    rng = np.random.default_rng(seed)
    if places is not None:
        yield from _crossed_samples(places, rng, seed, block)
        return
    block = min(block, examples)
    draws = -(-examples // block)
    offsets = np.arange(block)
    for _ in range(RESAMPLES):
        starts = rng.integers(0, examples - block + 1, size=draws)
        yield (starts[:, None] + offsets).ravel()[:examples]


def _crossed_samples(places: np.ndarray, rng: np.random.Generator, seed: int, block: int) -> Iterator[np.ndarray]:
    """Draw windows of many series: series, and blocks of successive moments, which are the same for all series.

    A window is in a sample as often as its series was drawn times as often as its moment was (the pigeonhole bootstrap,
    Owen 2007, doi:10.1214/07-AOAS122). So the intervals hold for other series of the kind, and for other days, on which
    something such as a holiday happens to most series together. Windows that were drawn series by series, as if these
    had nothing in common, would give intervals that are far too narrow.
    """
    numbers, moments = places.T
    series = numbers.max() + 1
    for sample in _samples(int(moments.max()) + 1, seed, block):
        drawn = np.zeros(0, np.int64)
        while not len(drawn):  # a series that was drawn may have no windows at the moments that were
            of_series = np.bincount(rng.integers(0, series, size=series), minlength=series)
            of_moments = np.bincount(sample, minlength=moments.max() + 1)
            drawn = np.repeat(np.arange(len(places)), of_series[numbers] * of_moments[moments])
        yield drawn
