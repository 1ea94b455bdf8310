"""Rolling forecasts of statsforecast's models, the rivals that a data set's `baselines` asks for.

A rival is fitted on the last training rows. At each origin its parameters stay, and its states follow the rows before
the origin. As origins move away it is fitted anew, on the rows before. So it sees no row from an origin on, though more
of the past than a window of this project's models holds.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from components.artifacts.baselines import Rival, rival_seasons
from components.common.errors import InputError

# The rows that a rival is fitted on: this many of the longest season, and at least this many. After as many more it is
# fitted anew: a forecast takes longer with each row since the fit, whose first level and slope its states begin with.
SEASONS = 5
LEAST_CONTEXT = 1000


def rolling(
    rival: Rival, target: np.ndarray, trained: int, frequency: str, horizon: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that forecasts by a rival.

    Args:
        rival: The rival.
        target: The target's values, all rows in their order, float [rows].
        trained: The number of training rows, which come first.
        frequency: The frequency of the rows.
        horizon: The number of rows to forecast.

    Returns:
        A function of the origins, int64 [windows], which are the positions of the first rows to forecast and don't lie
        in the training rows. It gives the forecasts, float64 [windows, horizon].

    Raises:
        InputError: The rival can't model the series, or statsforecast fails.
    """
    seasons = rival_seasons(rival, frequency, trained)
    context, values = max(SEASONS * seasons[-1], LEAST_CONTEXT), target.astype(np.float64)

    def forecast(origins: np.ndarray) -> np.ndarray:
        found = np.empty((len(origins), horizon))
        model, fitted = _model(rival, seasons), 0
        for i, origin in enumerate(origins.tolist()):
            end = origin - (origin - trained) % context
            start = max(0, end - context)
            if end != fitted:
                _calling(rival, model.fit, values[start:end])
                fitted = end
            found[i] = _calling(rival, model.forward, values[start:origin], horizon)["mean"]
        if not np.isfinite(found).all():
            raise InputError(f"baselines: {rival}: a forecast that isn't finite; leave {rival} out")
        return found

    return forecast


def _model(rival: Rival, seasons: list[int]) -> Any:  # noqa: ANN401 (a class of statsforecast, which has no common one)
    from statsforecast.models import MSTL, AutoETS, AutoTheta

    if rival == "mstl":
        # As in R, the smoothings are computed at some rows and are linear in between, which takes a tenth of the time.
        jump = max(1, seasons[-1] // 10)
        return MSTL(season_length=seasons, stl_kwargs={"trend_jump": jump, "low_pass_jump": jump})
    return (AutoETS if rival == "auto_ets" else AutoTheta)(season_length=seasons[-1])


def _calling(rival: Rival, call: Callable[..., Any], *arguments: np.ndarray | int) -> Any:  # noqa: ANN401
    """The result of a call of statsforecast, which raises plain exceptions and warns of its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*arguments)
        except Exception as error:
            raise InputError(f"baselines: {rival}: statsforecast can't model this series: {error}") from error
