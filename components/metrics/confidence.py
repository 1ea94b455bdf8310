"""The bins of confidence, by which a classifier's probabilities are compared with its accuracy."""

import numpy as np

# They have the same width, as those of Guo et al. (2017, arXiv:1706.04599).
BINS = 15


def confidence_bins(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The confidence of each prediction, whether it is right, and the bin of its confidence.

    Args:
        labels: int64 [examples].
        probabilities: float [examples, classes].

    Returns:
        The probability of the predicted class, float64 [examples]; bool [examples]; and the bin from 0 to BINS - 1,
        int64 [examples]. A bin holds its upper end.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    return confidence, probabilities.argmax(axis=1) == labels, bins
