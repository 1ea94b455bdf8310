"""The best model of all runs, for each test split."""

from dataclasses import dataclass
from pathlib import Path

from components.artifacts.leaderboard import ModelEntry
from components.common.errors import InputError
from components.metrics.metrics import METRICS
from pipeline.runs.history import Run, near, runs_of


@dataclass(frozen=True)
class Best:
    """The best model on a test split.

    Attributes:
        split: The digest of the split.
        run: The earliest run that has this model's figure.
        model: The model.
        metric: The metric that it is best by.
    """

    split: str
    run: Run
    model: ModelEntry
    metric: str


def best(runs: Path, experiments: list[str], metric: str | None) -> list[Best]:
    """Find the best model on each test split, by a metric, or else by the one that ranks the models of each data set.

    Raises:
        InputError: There is no such metric, or no run has it.
    """
    if metric is not None and metric not in (names := [each.name for task in METRICS.values() for each in task]):
        raise InputError(f"--metric {metric}: no such metric; {near(metric, names)}")
    found: dict[str, Best] = {}
    for run in [run for experiment in experiments for run in runs_of(runs, experiment)]:
        for model in run.board.models if run.board else ():
            split = run.splits.get(model.dataset)
            measured = METRICS[model.task] if model.task else ()
            by = next((each for each in measured if metric in (None, each.name)), None)
            if split is None or by is None or by.name not in model.metrics:
                continue
            old = found.get(split)
            if old is None or by.error(model.metrics[by.name]) < by.error(old.model.metrics[by.name]):
                found[split] = Best(split, run, model, by.name)
    if not found:
        raise InputError(f"{runs}: no model with {metric or 'figures'} in a run of {', '.join(experiments)}")
    return list(found.values())
