"""What has to be true before a local run starts: the data can be had, and there is room for them."""

import shutil
from pathlib import Path

from components.common.errors import InputError
from components.sources import load_source
from pipeline.experiment.experiment import Experiment
from pipeline.local.damage import usable

# Beside its records, a data set needs room for models, checkpoints and logs.
BESIDE_BYTES = 100_000_000


def prepare(experiment: Experiment, runs: Path) -> None:
    """Fetch what the sources of an experiment know how to fetch, and look at the disk.

    Raises:
        InputError: Data can't be had, or the disk has no room for them.
    """
    usable(runs)
    needed = sum(config.facts.bytes for config in experiment.datasets.values()) + BESIDE_BYTES
    free = shutil.disk_usage(runs).free
    if free < needed:
        raise InputError(f"{runs}: no room for the data: {needed >> 20} MB needed, {free >> 20} MB free")
    for config in experiment.datasets.values():
        if fetch := load_source(config.source).fetch:
            fetch(config.options)
