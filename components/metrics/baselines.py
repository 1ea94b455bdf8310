"""The names of a data set's baselines, which are known before it is read, so that a gate can be checked."""

from components.common.spec import Task
from components.readers.time_axis import Frequency

# These baselines are fitted. The others are naive: they repeat values of the past or the most frequent class.
FITTED = ("linear", "ridge")


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
