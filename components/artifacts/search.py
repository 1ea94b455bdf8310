"""The search space of a model, and the folder that tune writes.

trials.json    a `Search`
"""

import copy
import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from components.artifacts.json_file import JsonFile
from components.common.spec import Epochs, Strict


def _number(value: object) -> object:
    """Check a number, and keep its type: 1 stands for whole numbers, 1.0 for all."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)):
        return value
    raise PydanticCustomError("number", "Input should be a finite number")


Number = Annotated[Any, AfterValidator(_number)]


class Range(Strict):
    """The range of a key: the numbers from `low` to `high`, both included, or one of `values`.

    Attributes:
        low: The smallest number. Where `low` and `high` are whole numbers, only whole numbers are drawn.
        high: The largest number.
        log: Whether numbers are drawn evenly by their logarithm.
        values: The values to choose from, of any type that YAML has.
    """

    low: Number = None
    high: Number = None
    log: bool = False
    values: list[Any] | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Tune(Strict):
    """The search of a model, under its key `tune`.

    Attributes:
        trials: The number of trainings.
        parallel: The number of trainings in a round. A round uses the results of the rounds before it, so that the
            values found depend on this number.
        epochs: The epochs of each trial; None for the model's own.
        ranges: The range of each key of the model, such as learning_rate or hyperparameters.units.
    """

    trials: int = Field(ge=1, le=10_000)
    parallel: int = Field(default=1, ge=1, le=1000)
    epochs: Epochs | None = None
    ranges: dict[str, Range] = Field(min_length=1)


class Trial(Strict):
    """A training of a search.

    Attributes:
        number: The trial's number, from 1.
        values: The value of each key of the search space.
        state: "failed" where the training gave no score.
        scores: The metric after each epoch.
        score: The metric after the best epoch.
        best_epoch: The best epoch, from 1.
        seconds: The sum of its epochs' seconds, validation included.
        same_as: The number of an earlier trial with the same values, whose result this trial has without a training.
        reason: The reason why it failed.
    """

    number: int
    values: dict[str, Any]
    state: Literal["complete", "failed"]
    scores: list[float] = []
    score: float | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    same_as: int | None = None
    reason: str = ""


class Search(JsonFile):
    """The content of `trials.json`.

    Attributes:
        metric: The metric on the validation split that selects the best trial, such as val_accuracy.
        mode: Whether a larger or a smaller metric is better.
        best: The number of the best trial; the first one where several are equal.
        tune: The search space.
        trials: The trials, by their number.
    """

    FILE = "trials.json"
    metric: str
    mode: Literal["max", "min"]
    best: int
    tune: Tune
    trials: list[Trial]


def with_values(config: dict[str, Any], values: dict[str, object]) -> dict[str, Any]:
    """A copy of a model's configuration with other values.

    Args:
        config: The keys of a `ModelSpec`.
        values: The new values by key. A dot in a key leads into a nested mapping.
    """
    changed = copy.deepcopy(config)
    for key, value in values.items():
        *outer, last = key.split(".")
        place = changed
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return changed
