"""95 % intervals by resampling the test examples."""

from collections.abc import Callable

import numpy as np

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
        block: Neighbours that are drawn together. Windows of a series overlap and resemble each other, so
            drawing them one by one would give intervals far too narrow (moving blocks, Künsch 1989,
            doi:10.1214/aos/1176347265).

    Returns:
        For each metric, the lower and the upper end.
    """
    rng = np.random.default_rng(seed)
    block = min(block, examples)
    draws = -(-examples // block)
    offsets = np.arange(block)
    values: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        starts = rng.integers(0, examples - block + 1, size=draws)
        sample = (starts[:, None] + offsets).ravel()[:examples]
        for name, value in metrics(sample).items():
            values.setdefault(name, []).append(value)
    return {name: [float(q) for q in np.quantile(v, QUANTILES)] for name, v in values.items()}
