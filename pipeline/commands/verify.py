"""Run an experiment with one seed or several, and compare its claims with the measured metrics."""

import tempfile
from pathlib import Path

from rich.console import Console

from components.common.errors import InputError
from components.common.files import write_text
from components.common.words import now
from pipeline.experiment.claims import Verification, judge, spreads
from pipeline.experiment.experiment import Experiment, load_experiment, select_models
from pipeline.local.run import RUNS, prepare, run_local

FILE = "verify.json"


def load_seeds(config: Path, overrides: list[str], seeds: int, models: list[str]) -> list[Experiment]:
    """Load an experiment once for each seed: its own seed, then the numbers after it.

    Args:
        config: The YAML file.
        overrides: As for `load_experiment`.
        seeds: The number of seeds.
        models: The models to keep, with the data sets that they use. An empty list keeps all.

    Raises:
        InputError: The file has a mistake or no such model, or it claims nothing that one run could verify.
    """
    first = load_experiment(config, overrides)
    if backtests := [f"datasets.{name}.backtest=null" for name, dataset in first.datasets.items() if dataset.folds]:
        overrides = [*overrides, *backtests]
        first = load_experiment(config, overrides)
    later = [load_experiment(config, [*overrides, f"seed={first.seed + i}"]) for i in range(1, seeds)]
    experiments = [select_models(one, models) for one in (first, *later)]
    if seeds == 1 and not any(experiments[0].expect.values()):
        raise InputError(
            f"{config}: nothing is claimed of {', '.join(experiments[0].models)}; expected at a model, for example, "
            "expect: {accuracy: {value: 0.9, within: 0.01}} (--seeds 3 measures what can be claimed)"
        )
    return experiments


def verify(experiments: list[Experiment], console: Console, jobs: int | None = None) -> Verification:
    """Run the experiments and judge their claims. `latest`, the registry and build/ stay as they are.

    Tasks that ran before with the same settings come from the cache.

    Args:
        experiments: One experiment for each seed.
        console: The terminal that progress is printed to.
        jobs: As for `run_local`.

    Returns:
        The content of `runs/<experiment>/verify.json`, which is written.

    Raises:
        InputError: `run_local` raised it.
        TaskFailedError: `run_local` raised it, and nothing is written.
        Stopped: `run_local` raised it.
    """
    boards = []
    with tempfile.TemporaryDirectory() as build:
        for experiment in experiments:
            prepare(experiment, RUNS)
            console.print(f"{experiment.name}, seed {experiment.seed}: logs in {RUNS}/{experiment.name}/")
            boards.append(run_local(experiment, console, Path(build), keep_latest=True, jobs=jobs))
    measured = spreads(boards)
    verification = Verification(
        experiment=experiments[0].name,
        seeds=[experiment.seed for experiment in experiments],
        runs=[board.run for board in boards],
        created=now(),
        models=measured,
        claims=judge(experiments[0].expect, measured),
    )
    write_text(RUNS / verification.experiment / FILE, verification.model_dump_json(indent=2) + "\n")
    return verification
