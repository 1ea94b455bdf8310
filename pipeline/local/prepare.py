"""The checks before a local run: its tracker can be one, the data can be fetched, and the disk has room for them."""

import os
import shutil
import sys
from pathlib import Path

from components.common.errors import InputError
from components.sources import load_source
from pipeline.experiment.experiment import Experiment
from pipeline.local.damage import usable
from pipeline.runs import tracking

# The room for models, checkpoints and logs.
MODELS_BYTES = 100_000_000


def prepare(experiment: Experiment, runs: Path) -> None:
    """Check the tracker and the disk, and fetch the data that the experiment's sources can fetch.

    A line says so where the environment alone names a tracker that can't be one.

    Raises:
        InputError: The config's tracker can't be one, the data can't be fetched, or the disk has no room for them.
    """
    if experiment.track:
        tracking.check()
    elif os.environ.get(tracking.URI) and (problems := tracking.problems()):
        print(f"mlflow: the run won't be sent: {'; '.join(problems)}", file=sys.stderr, flush=True)
    usable(runs)
    needed = sum(config.facts.bytes * (1 + config.folds) for config in experiment.datasets.values()) + MODELS_BYTES
    free = shutil.disk_usage(runs).free
    if free < needed:
        raise InputError(f"{runs}: no room for the data: {needed >> 20} MB needed, {free >> 20} MB free")
    for config in experiment.datasets.values():
        if fetch := load_source(config.source).fetch:
            fetch(config.options)
