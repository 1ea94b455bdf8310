"""The checks before a local run: the data can be fetched, and the disk has room for them."""

import shutil
from pathlib import Path

from components.common.errors import InputError
from components.sources import load_source
from pipeline.experiment.experiment import Experiment
from pipeline.local.damage import usable

# The room for models, checkpoints and logs.
MODELS_BYTES = 100_000_000


def prepare(experiment: Experiment, runs: Path) -> None:
    """Fetch the data that the experiment's sources can fetch, and check the disk.

    Raises:
        InputError: The data can't be fetched, or the disk has no room for them.
    """
    usable(runs)
    needed = sum(config.facts.bytes for config in experiment.datasets.values()) + MODELS_BYTES
    free = shutil.disk_usage(runs).free
    if free < needed:
        raise InputError(f"{runs}: no room for the data: {needed >> 20} MB needed, {free >> 20} MB free")
    for config in experiment.datasets.values():
        if fetch := load_source(config.source).fetch:
            fetch(config.options)
