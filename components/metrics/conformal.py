"""Split-conformal calibration: intervals that hold on examples which the model was not trained on."""

import math
from collections.abc import Sequence

import numpy as np


def widths(forecasts: np.ndarray) -> np.ndarray:
    """The width of the interval that each quantile is an end of, as a scale for `offsets`.

    Scores in units of it are CQR-r of Sesia and Candès (2020, arXiv:1909.05433). So they suit many series of different
    sizes: the interval of each is made wider or narrower by the same share.

    Args:
        forecasts: The forecasts of the quantiles, float [windows, horizon, quantiles].

    Returns:
        float64 of the same shape, above 0.
    """
    return np.maximum(np.abs(forecasts.astype(np.float64) - forecasts[..., ::-1]), np.finfo(np.float32).tiny)


def offsets(
    target: np.ndarray, forecasts: np.ndarray, quantiles: Sequence[float], scale: np.ndarray | None = None
) -> np.ndarray:
    """The offsets of quantiles with which each pair of them covers its share at each step of the horizon.

    It is conformalized quantile regression (Romano, Patterson and Candès 2019, arXiv:1905.03222). The guarantee is for
    exchangeable examples. Windows of a series aren't, so that what is covered has to be measured on the test split.

    Args:
        target: The targets of examples which the forecasts weren't trained on, float [windows, horizon].
        forecasts: The forecasts of the quantiles, float [windows, horizon, quantiles].
        quantiles: The quantiles, rising, in pairs around 0.5.
        scale: The unit of each window's distances, above 0, float [windows, horizon or 1, quantiles or 1]; None for the
            target's unit.

    Returns:
        float64 [horizon, quantiles], in units of the scale; 0 for the median. Where windows are too few for a share, it
        is the largest that any window needs.
    """
    windows, horizon = target.shape
    units = np.broadcast_to(1.0 if scale is None else scale, forecasts.shape)
    moved = np.zeros((horizon, len(quantiles)))
    exact = target.astype(np.float64)
    for i in range(len(quantiles) // 2):
        # How far a target lies outside its interval; negative inside.
        scores = np.maximum(forecasts[..., i] - exact, exact - forecasts[..., -1 - i]) / units[..., i]
        rank = math.ceil((windows + 1) * (quantiles[-1 - i] - quantiles[i]) - 1e-9)
        needed = np.sort(scores, axis=0)[min(rank, windows) - 1]
        moved[:, i], moved[:, -1 - i] = -needed, needed
    return moved
