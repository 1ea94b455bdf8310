"""Run an experiment, with one seed or several, and hold its claims against what came out."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from components.common.errors import InputError
from components.common.files import write_text
from pipeline.experiment.claims import Verification, judge, spreads
from pipeline.experiment.experiment import Experiment, load_experiment, only
from pipeline.local.prepare import prepare
from pipeline.local.run import RUNS, run_local

FILE = "verify.json"


def load_seeds(config: Path, overrides: list[str], seeds: int, models: list[str]) -> list[Experiment]:
    """An experiment once for each seed, from its own on.

    Args:
        config: The YAML file.
        overrides: As for `load_experiment`.
        seeds: How many.
        models: The models to keep, with the data sets that they use; all where it is empty.

    Raises:
        InputError: The file isn't as it should be, has no such model, or claims nothing that one run could verify.
    """
    first = load_experiment(config, overrides)
    later = [load_experiment(config, [*overrides, f"seed={first.seed + i}"]) for i in range(1, seeds)]
    experiments = [only(one, models) for one in (first, *later)]
    if seeds == 1 and not any(experiments[0].expect.values()):
        raise InputError(
            f"{config}: nothing is claimed of {', '.join(experiments[0].models)}; expected at a model, for example, "
            "expect: {accuracy: {value: 0.9, within: 0.01}} (--seeds 3 measures what can be claimed)"
        )
    return experiments


def verify(experiments: list[Experiment], console: Console) -> Verification:
    """Run and judge; `latest`, the registry and build/ stay as they are.

    What was run before with the same settings comes from the cache.

    Args:
        experiments: One for each seed.
        console: Where progress is shown.

    Returns:
        What was written to `runs/<experiment>/verify.json`.

    Raises:
        InputError: As `run_local` does.
        TaskFailedError: The same; nothing is written.
        Stopped: The same.
    """
    boards = []
    with tempfile.TemporaryDirectory() as build:
        for experiment in experiments:
            prepare(experiment, RUNS)
            console.print(f"{experiment.name}, seed {experiment.seed}: logs in {RUNS}/{experiment.name}/")
            boards.append(run_local(experiment, console, Path(build), aside=True))
    measured = spreads(boards)
    found = Verification(
        experiment=experiments[0].name,
        seeds=[experiment.seed for experiment in experiments],
        runs=[board.run for board in boards],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        models=measured,
        claims=judge(experiments[0].expect, measured),
    )
    write_text(RUNS / found.experiment / FILE, found.model_dump_json(indent=2) + "\n")
    return found
