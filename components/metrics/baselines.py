"""Which baselines a data set has; known without reading it, so that a gate can be checked beforehand."""

from components.common.spec import Task
from components.readers.time_axis import Frequency

# These are fitted; the others are naive: they repeat what was.
FITTED = ("linear", "ridge")


def baseline_names(task: Task, frequency: str | None = None, lookback: int = 0) -> list[str]:
    """Names of the baselines of a data set.

    Args:
        task: What the data set is for.
        frequency: The step of a series.
        lookback: Rows that a window shows; a season longer than that can't be repeated.
    """
    if task == "classification":
        return ["majority_class", "linear"]
    seasons = Frequency(frequency or "D").seasons()
    return ["last_value", *(name for name, steps in seasons.items() if steps <= lookback), "ridge"]
