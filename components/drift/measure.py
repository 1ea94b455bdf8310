"""Measure the distance between the distributions of a feature in new data and in the training data, in one pass.

The population stability index (PSI) is the sum of (p - q) ln(p / q), where p and q are the shares of the training and
the new data in the same bins. Below 0.1 it means no change, from 0.25 a large one (Siddiqi 2006, Credit Risk
Scorecards; reviewed by du Pisanie et al. 2023, arXiv:2303.01227).

The Kolmogorov-Smirnov statistic (KS) is the largest distance of the two cumulative distributions. Its p-value isn't
used, for it is small for any change where the input is long, and rows of a series aren't independent.

One threshold serves both: where a normal feature is shifted by 0.45 standard deviations, PSI is 0.2 and KS is 0.18.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from components.artifacts.training_profile import Distribution

BINS = 10
# The expected PSI of n examples without any drift is about (bins - 1) / n (Yurdakul 2018, Statistical Properties of
# Population Stability Index, Western Michigan University). With fewer examples than this in each bin, PSI is noise.
EXAMPLES_PER_BIN = 10


class Numbers:
    """Counts the values of a feature between the quantiles of the training data.

    Args:
        training: The feature's distribution in the training data.
    """

    def __init__(self, training: Distribution) -> None:
        self._training = training
        self._points = np.array(training.values)
        self._below, self._up_to = np.zeros(len(self._points)), np.zeros(len(self._points))
        self._total, self.count = 0.0, 0

    def add(self, values: np.ndarray) -> None:
        """Count more values, float [examples]."""
        exact = np.sort(values.astype(np.float64))
        self._below += np.searchsorted(exact, self._points, "left")
        self._up_to += np.searchsorted(exact, self._points, "right")
        self._total += float(exact.sum())
        self.count += len(exact)

    def mean(self) -> float:
        """The mean of all values."""
        return self._total / self.count

    def ks(self) -> float:
        """The largest distance of the distributions at the quantiles and just below them."""
        distances = (
            self._below / self.count - self._training.below,
            self._up_to / self.count - self._training.up_to,
        )
        return float(np.abs(distances).max())

    def psi(self) -> float:
        """The PSI in ten bins, each with a tenth of the training data, or more where values are repeated."""
        up_to = np.array(self._training.up_to)
        ends = sorted({int(np.searchsorted(up_to, i / BINS - 1e-9)) for i in range(1, BINS)} - {len(up_to) - 1})
        return psi(
            np.diff([0, *up_to[ends], 1]).tolist(),
            np.diff([0, *self._up_to[ends], self.count]).tolist(),
        )


def psi(shares: Iterable[float], counts: Iterable[float]) -> float:
    """The PSI of new examples.

    Args:
        shares: The share of the training data in each bin.
        counts: The number of new examples in each bin. Half an example is added to each, so that an empty bin doesn't
            give infinity.
    """
    p, q = np.array(list(shares)), np.array(list(counts)) + 0.5
    q /= q.sum()
    p = np.maximum(p, 1e-6)
    return float(((p - q) * np.log(p / q)).sum())


class Classes:
    """Counts predicted classes.

    Args:
        training: The share of each class among the predictions for the training data.
    """

    def __init__(self, training: dict[str, float]) -> None:
        self._training, self._counts = training, Counter[str]()

    def add(self, names: Iterable[str]) -> None:
        """Count more predictions."""
        self._counts.update(names)

    def psi(self) -> float:
        """The PSI over the classes."""
        return psi(self._training.values(), [self._counts[name] for name in self._training])

    def largest_change(self) -> tuple[str, float, float]:
        """The class whose share changed most, its share in the training data, and its new share."""
        count = self._counts.total()
        new = {name: self._counts[name] / count for name in self._training}
        name = max(new, key=lambda name: abs(new[name] - self._training[name]))
        return name, self._training[name], new[name]
