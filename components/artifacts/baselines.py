"""The folder that baseline writes, and the names of the baselines, which a gate is checked against before they exist.

baselines.json    the metrics of each baseline
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from components.common.errors import InputError
from components.common.files import write_json
from components.common.spec import Task
from components.readers.time_axis import Frequency

_BASELINES = "baselines.json"

# Models of statsforecast that a series has beside the other baselines where its `baselines` asks for them.
Rival = Literal["auto_ets", "mstl", "auto_theta"]
# The baselines that are fitted. The others are naive: they repeat values of the past or the most frequent class.
FITTED = ("linear", "ridge", "ridge_known_future", *get_args(Rival))
# statsforecast leaves a longer season out of an exponential smoothing, and doesn't say so.
_LONGEST_OF_ETS = 24
# The least number of training rows of an exponential smoothing, for any season.
_LEAST_ROWS = 20

Baselines = dict[str, dict[str, float]]


def save_baselines(folder: Path, baselines: Baselines) -> None:
    """Write the metrics of all baselines."""
    write_json(folder / _BASELINES, baselines)


def load_baselines(folder: Path | str) -> Baselines:
    """Read the metrics of all baselines."""
    baselines: Baselines = json.loads((Path(folder) / _BASELINES).read_text(encoding="utf-8"))
    return baselines


def baseline_names(
    task: Task, frequency: str | None = None, lookback: int = 0, known: bool = False, rivals: Sequence[Rival] = ()
) -> list[str]:
    """The names of the baselines of a data set.

    Args:
        task: The data set's task.
        frequency: The frequency of a series.
        lookback: The number of rows that a model sees. A longer season can't be repeated.
        known: Whether the series has columns that are known in the future.
        rivals: The rivals that the data set asks for.
    """
    if task == "classification":
        return ["majority_class", "linear"]
    ridges = ["ridge", "ridge_known_future"] if known else ["ridge"]
    return ["last_value", *season_names(frequency or "D", lookback), *ridges, *dict.fromkeys(rivals)]


def season_names(frequency: str, lookback: int) -> list[str]:
    """The names of the naive forecasts that repeat a season, for seasons that fit into a window."""
    return [name for name, steps in Frequency(frequency).seasons().items() if steps <= lookback]


def rival_seasons(rival: Rival, frequency: str, rows: int) -> list[int]:
    """The lengths of the seasons that a rival models, shortest first.

    Args:
        rival: The rival.
        frequency: The frequency of the series.
        rows: The number of its training rows.

    Returns:
        All seasons for mstl, and the longest one for the others, which have one. [1] where the series has none.

    Raises:
        InputError: The rival can't model the series.
    """
    seasons = sorted(Frequency(frequency).seasons().values())
    if rival == "mstl" and not seasons:
        raise InputError(
            f"baselines: mstl: frequency {frequency} has no season to decompose; take auto_ets or auto_theta"
        )
    if rival == "auto_ets" and seasons:
        if seasons[0] > _LONGEST_OF_ETS:
            problem = f"a season of {seasons[0]} rows, expected at most {_LONGEST_OF_ETS}; take mstl"
            raise InputError(f"baselines: auto_ets: {problem}")
        seasons = [season for season in seasons if season <= _LONGEST_OF_ETS]
    chosen = seasons if rival == "mstl" else seasons[-1:] or [1]
    if rows < (least := max(2 * chosen[-1], _LEAST_ROWS)):
        raise InputError(f"baselines: {rival}: {rows} training rows, expected at least {least} for its season")
    return chosen
