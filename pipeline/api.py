"""What `from pipeline import run, load, compare` gives: runs from Python and in a notebook.

Folders are those of the command line: runs/ and build/ in the working directory.
"""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from pipeline.runs.history import Run

ROOT = Path(__file__).parent.parent


def run(
    config: Path | str,
    *,
    set: Mapping[str, Any] | Sequence[str] = (),
    models: Sequence[str] = (),
    keep_going: bool = False,
    containers: bool = False,
    verify_cache: bool = False,
    promote: bool = False,
    jobs: int | None = None,
    console: "Console | None" = None,
) -> "Run":
    """Run an experiment on this machine, as `python -m pipeline run` does, and show its progress.

    Args:
        config: The experiment's file.
        set: Values for this run, such as {"models.cnn.epochs": 3}, or ["models.cnn.epochs=3"]. None leaves a model or
            data set out.
        models: The models to run, with their data sets; all where it is empty.
        keep_going: Finish the models that don't depend on a failed task.
        containers: Run each task in a container of its image.
        verify_cache: Compare the digests of all that earlier runs left.
        promote: Register a winner that can't be told apart from the current version, too.
        jobs: The most tasks at a time; None for as many as cores and memory allow.
        console: The terminal; None for the standard output.

    Returns:
        The finished run.

    Raises:
        InputError: The config, the data or an option is wrong.
        TaskFailedError: A task failed. What was finished is in the run's folder.
        KeyboardInterrupt: The user stopped it. A new start goes on from the last checkpoint.
    """
    from rich.console import Console

    from pipeline.experiment.experiment import load_experiment, select_models
    from pipeline.graph.compile import BUILD
    from pipeline.local.failure import Stopped
    from pipeline.local.run import RUNS, prepare, run_local

    set_environment()
    changes = [f"{key}={json.dumps(value)}" for key, value in set.items()] if isinstance(set, Mapping) else list(set)
    console = console or Console(highlight=False, width=110)
    experiment = select_models(load_experiment(Path(config), changes, models), list(models))
    prepare(experiment, RUNS)
    where = "in containers on this machine" if containers else "on this machine"
    console.print(f"{experiment.name}: {BUILD}/{experiment.name}.yaml {where}, logs in {RUNS}/{experiment.name}/")
    try:
        board = run_local(
            experiment,
            console,
            keep_going=keep_going,
            in_containers=containers,
            verify_cache=verify_cache,
            promote=promote,
            jobs=jobs,
        )
    except Stopped as stopped:
        if stopped.signal == signal.SIGINT:
            raise KeyboardInterrupt("a new start goes on from the last checkpoint") from None
        raise
    return load(f"{experiment.name}/{board.run}")


def load(name: Path | str) -> "Run":
    """Load a run of this machine.

    Args:
        name: Such as "quick", the last finished run of quick.yaml, or "quick/20261126-184455", or a run's folder.

    Raises:
        InputError: There is no such run.
    """
    from pipeline.runs import RUNS
    from pipeline.runs.history import find

    return find(RUNS, str(name))


def compare(before: "Run | Path | str", now: "Run | Path | str") -> "pd.DataFrame":
    """Compare the models of two runs on the same test examples.

    Args:
        before: A run, or its name.
        now: A later run, or its name.

    Returns:
        A row for each model that both have finished, by the metric that ranks it: model, metric, before, now, verdict,
        low, high. The last two are the ends of the 95 % interval of how much better `now` is, by a paired bootstrap
        over the same test examples; empty where they weren't computed. The verdicts are those of `runs diff`.

    Raises:
        InputError: There is no such run.
    """
    import pandas as pd

    from components.metrics.metrics import METRICS
    from pipeline.runs import diff

    old, new = (load(each) if isinstance(each, str | Path) else each for each in (before, now))
    rows = []
    for task, (ranking, *_) in METRICS.items():
        for _, one, other in diff.pairs(old, new, task):
            if one and other and one.rank and other.rank:
                found = diff.compare(old, one, new, other)
                low, high = [-end for end in reversed(found.difference)] or (None, None)
                values = [each.metrics.get(ranking.name) for each in (one, other)]
                rows.append([other.model, ranking.name, *values, found.verdict, low, high])
    return pd.DataFrame(rows, columns=["model", "metric", "before", "now", "verdict", "low", "high"])


def set_environment() -> None:
    """Say where TensorFlow Datasets' data are, and keep TensorFlow quiet, where the environment doesn't."""
    os.environ.setdefault("TFDS_DATA_DIR", str(ROOT / "data" / "tfds"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["PYTHONIOENCODING"] = "utf-8:replace"
