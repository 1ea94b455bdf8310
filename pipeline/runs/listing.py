"""The list of an experiment's runs: what each one was, what it reached, and what changed against the run before."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.artifacts.leaderboard import figure, interval
from components.metrics.metrics import METRICS
from pipeline.runs import ledger
from pipeline.runs.diff import changes
from pipeline.runs.history import Run
from pipeline.runs.prune import sizes


@dataclass(frozen=True)
class Result:
    """The best model of a run on a data set, as text; "none" and empty texts where no model was finished.

    Attributes:
        dataset: The data set.
        model: The model.
        metric: The metric that ranks models.
        value: Its value.
        interval: Its 95 % interval.
    """

    dataset: str
    model: str = "none"
    metric: str = ""
    value: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Line:
    """A run in the list.

    Attributes:
        run: The run.
        results: Its best models, one for each data set.
        bytes: The room that it takes on the disk.
        changed: The differences from the run before.
    """

    run: Run
    results: list[Result]
    bytes: int
    changed: str


def lines(runs: list[Run]) -> Iterator[Line]:
    """List the runs of an experiment, given the oldest first."""
    before = None
    for run, size in zip(runs, sizes(runs), strict=True):
        changed = changes(before, run).words() if before else "the first run"
        yield Line(run, results(run), size, changed)
        before = run


def results(run: Run) -> list[Result]:
    """The best model of each data set of a run."""
    found = []
    for name, entry in run.board.datasets.items() if run.board else ():
        best, metric = run.board.best(name) if run.board else None, METRICS[entry.task][0].name
        if best is None or metric not in best.metrics:
            found.append(Result(name))
            continue
        ends = interval(best.intervals[metric]) if metric in best.intervals else "no interval"
        found.append(Result(name, best.model, metric, figure(best.metrics[metric]), ends))
    return found


def worn(runs: Path, run: Run, only: str | None = None) -> list[str]:
    """Sentences on how often the test splits of a run, or of one of its data sets alone, have been read."""
    noted = ledger.reads(runs)
    return [
        f"{dataset}: {sentence}"
        for dataset, split in run.splits.items()
        if only in (None, dataset)
        for sentence in ledger.wear(noted, split, _interval(run, dataset))
    ]


def _interval(run: Run, dataset: str) -> list[float]:
    """The 95 % interval of the best model of a data set, by the metric that ranks them."""
    best = run.board.best(dataset) if run.board else None
    return best.intervals.get(METRICS[best.task][0].name, [0.0, 0.0]) if best and best.task else [0.0, 0.0]
