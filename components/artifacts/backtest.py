"""The results of a backtest, a part of `leaderboard.json`: the figures of each fold, and their spread."""

import statistics
from collections.abc import Mapping, Sequence

from components.common.spec import Strict

# The metrics of each model or baseline, by its name.
Figures = dict[str, dict[str, float]]


class Spread(Strict):
    """A metric of a model over some trainings: one for each seed, or one for each fold.

    Attributes:
        values: The value of each.
        mean: The mean of the values.
        std: The sample standard deviation, with a divisor of the number of values less one; None for one value.
        min: The smallest value.
        max: The largest value.
    """

    values: list[float]
    mean: float
    std: float | None
    min: float
    max: float


class Fold(Strict):
    """A fold: a training on the rows up to some time, and a test on the rows after it.

    Attributes:
        splits: The number of windows of each split; empty where the fold's data failed.
        times: The times of the first and of the last row of each split, ISO 8601.
        models: The metrics of each model on the fold's test windows. A model that failed is left out.
        baselines: The metrics of each baseline on the same windows.
    """

    splits: dict[str, int] = {}
    times: dict[str, list[str]] = {}
    models: Figures = {}
    baselines: Figures = {}

    def skill(self, model: str, metric: str) -> float | None:
        """The share of the best baseline's error that a model takes away; None where there is none of either.

        It is below 0 where that baseline is better. The metric is an error, such as mae.
        """
        theirs = min((values[metric] for values in self.baselines.values()), default=0.0)
        return 1 - self.models[model][metric] / theirs if model in self.models and theirs else None


class Folds(Strict):
    """The folds of a data set, the earliest first. Their test rows follow each other, and end before the test split.

    Attributes:
        folds: The folds.
        models: The spread of each metric of each model over the folds, without the models that failed in one of them.
        baselines: The spread of each metric of each baseline.
        searched: The models with values that a search chose, once and with later rows than those of a fold.
    """

    folds: list[Fold]
    models: dict[str, dict[str, Spread]]
    baselines: dict[str, dict[str, Spread]]
    searched: list[str] = []

    @property
    def warning(self) -> str:
        """The sentence about models whose folds may look too good; empty where there are none."""
        names = ", ".join(self.searched)
        return f"{names}: the search (tune) knew rows after the folds, whose figures may be too good" if names else ""


def fold_key(name: str, fold: int) -> str:
    """The name of what a fold, from 1, has of a model or data set, among the inputs of compare."""
    return f"{name}_{fold}"


def spread(values: Sequence[float]) -> Spread:
    """The spread of some values."""
    return Spread(
        values=list(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        min=min(values),
        max=max(values),
    )


def spreads(figures: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Spread]]:
    """The spread of each metric of each model over some trainings, in the order of the first one.

    Args:
        figures: For each training, the metrics of each model. Models and metrics that one lacks are left out.
    """
    first = figures[0] if figures else {}
    return {
        name: {
            metric: spread([training[name][metric] for training in figures])
            for metric in first[name]
            if all(metric in training[name] for training in figures)
        }
        for name in first
        if all(name in training for training in figures)
    }
