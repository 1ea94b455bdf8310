"""How far a feature's distribution is from the training data's, counted without keeping an example.

Population stability index (PSI): with shares p and q of the training and the new data in the same bins, the sum of
(p - q) ln(p / q). Below 0.1 nothing has moved, from 0.25 much has (Siddiqi 2006, Credit Risk Scorecards; reviewed by
du Pisanie et al. 2023, arXiv:2303.01227).

Kolmogorov-Smirnov (KS): the largest distance of the two cumulative distributions. The statistic is compared, not its
p-value: the p-value of a long input is small whatever moved, and rows of a series aren't independent.

One threshold serves both: where a normal feature is shifted by 0.45 standard deviations, PSI is 0.2 and KS is 0.18.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from components.artifacts.training_profile import Distribution

BINS = 10
# What PSI comes to when nothing moved is about (bins - 1) / n (Yurdakul 2018, Statistical Properties of Population
# Stability Index, Western Michigan University): of fewer examples it is noise.
EXAMPLES_PER_BIN = 10


class Numbers:
    """Counts the values of a feature between the quantiles of the training data.

    Args:
        training: The feature's distribution there.
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
        """Mean of all values."""
        return self._total / self.count

    def ks(self) -> float:
        """Largest distance of the distributions at the quantiles and just below them."""
        distances = (
            self._below / self.count - self._training.below,
            self._up_to / self.count - self._training.up_to,
        )
        return float(np.abs(distances).max())

    def psi(self) -> float:
        """PSI in ten bins that hold a tenth of the training data each, or more where values are repeated."""
        up_to = np.array(self._training.up_to)
        ends = sorted({int(np.searchsorted(up_to, i / BINS - 1e-9)) for i in range(1, BINS)} - {len(up_to) - 1})
        return psi(
            np.diff([0, *up_to[ends], 1]).tolist(),
            np.diff([0, *self._up_to[ends], self.count]).tolist(),
        )


def psi(shares: Iterable[float], counts: Iterable[float]) -> float:
    """PSI of new examples.

    Args:
        shares: Of the training data in each bin.
        counts: New examples in each bin. Half an example more is counted in each, so that an empty bin weighs what
            an example would.
    """
    p, q = np.array(list(shares)), np.array(list(counts)) + 0.5
    q /= q.sum()
    p = np.maximum(p, 1e-6)
    return float(((p - q) * np.log(p / q)).sum())


class Classes:
    """Counts predicted classes.

    Args:
        training: Share of each class among the predictions for the training data.
    """

    def __init__(self, training: dict[str, float]) -> None:
        self._training, self._counts = training, Counter[str]()

    def add(self, names: Iterable[str]) -> None:
        """Count more predictions."""
        self._counts.update(names)

    def psi(self) -> float:
        """PSI over the classes."""
        return psi(self._training.values(), [self._counts[name] for name in self._training])

    def most_moved(self) -> tuple[str, float, float]:
        """The class whose share changed most, its share in the training data, and its new share."""
        count = self._counts.total()
        new = {name: self._counts[name] / count for name in self._training}
        name = max(new, key=lambda name: abs(new[name] - self._training[name]))
        return name, self._training[name], new[name]
