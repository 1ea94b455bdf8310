"""The folder that baseline writes, and the names of the baselines, which a gate is checked against before they exist.

baselines.json    the metrics of each baseline
"""

import json
from pathlib import Path

from components.common.files import write_json
from components.common.spec import Task
from components.readers.time_axis import Frequency

_BASELINES = "baselines.json"

# The baselines that are fitted. The others are naive: they repeat values of the past or the most frequent class.
FITTED = ("linear", "ridge")

Baselines = dict[str, dict[str, float]]


def save_baselines(folder: Path, baselines: Baselines) -> None:
    """Write the metrics of all baselines."""
    write_json(folder / _BASELINES, baselines)


def load_baselines(folder: Path | str) -> Baselines:
    """Read the metrics of all baselines."""
    baselines: Baselines = json.loads((Path(folder) / _BASELINES).read_text(encoding="utf-8"))
    return baselines


def baseline_names(task: Task, frequency: str | None = None, lookback: int = 0) -> list[str]:
    """The names of the baselines of a data set.

    Args:
        task: The data set's task.
        frequency: The frequency of a series.
        lookback: The number of rows that a model sees. A longer season can't be repeated.
    """
    if task == "classification":
        return ["majority_class", "linear"]
    seasons = Frequency(frequency or "D").seasons()
    return ["last_value", *(name for name, steps in seasons.items() if steps <= lookback), "ridge"]
