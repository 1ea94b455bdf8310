"""A search for the values of a model's keys: what an experiment asks for, and what it found."""

import copy
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from components.common.files import write_text
from components.common.spec import Epochs, Strict

_TRIALS = "trials.json"


def _number(value: object) -> object:
    """As it is, since 1 asks for whole numbers and 1.0 doesn't."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)):
        return value
    raise PydanticCustomError("number", "Input should be a finite number")


Number = Annotated[Any, AfterValidator(_number)]


class Range(Strict):
    """What a key may be: a number from `low` to `high`, both included, or one of `values`.

    Attributes:
        low: The least; two whole numbers mean whole numbers between them too.
        high: The greatest.
        log: Whether numbers are drawn evenly by their logarithm.
        values: Anything YAML can hold.
    """

    low: Number = None
    high: Number = None
    log: bool = False
    values: list[Any] | None = None

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Tune(Strict):
    """The search of a model, under its key `tune`.

    Attributes:
        trials: How many trainings.
        parallel: Trainings of a round: each round knows the results of those before it. What is found depends on it.
        epochs: Of each trial; None for the model's own.
        ranges: By key of the model's, such as learning_rate or hyperparameters.units.
    """

    trials: int = Field(ge=1, le=10_000)
    parallel: int = Field(default=1, ge=1, le=1000)
    epochs: Epochs | None = None
    ranges: dict[str, Range] = Field(min_length=1)


class Trial(Strict):
    """A training of a search.

    Attributes:
        number: Counted from 1.
        values: By key of the ranges.
        state: "failed" where it gave no score.
        scores: The metric after each epoch.
        score: Of the best epoch.
        best_epoch: Counted from 1.
        seconds: Of its epochs, validation included.
        same_as: The earlier trial that had these values already, and was not trained again.
        reason: Why it failed.
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


class Search(Strict):
    """The content of `trials.json`.

    Attributes:
        metric: Of the validation split, such as val_accuracy: it alone decides.
        mode: Whether more or less of it is better.
        best: Number of the best trial, of equal ones the first.
        tune: What was asked for.
        trials: In their order.
    """

    metric: str
    mode: Literal["max", "min"]
    best: int
    tune: Tune
    trials: list[Trial]


def with_values(config: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A copy of a model's configuration with other values.

    Args:
        config: Keys of a `ModelSpec`.
        values: By key; a dot leads into another mapping.
    """
    changed = copy.deepcopy(config)
    for key, value in values.items():
        *outer, last = key.split(".")
        place = changed
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return changed


def save_search(folder: Path, search: Search) -> None:
    """Write what a search found."""
    write_text(folder / _TRIALS, search.model_dump_json(indent=2) + "\n")


def load_search(folder: Path | str) -> Search:
    """Read what a search found."""
    return Search.model_validate_json((Path(folder) / _TRIALS).read_text(encoding="utf-8"))
