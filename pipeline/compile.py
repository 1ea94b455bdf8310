"""Compile an experiment into the one file that every runner runs."""

import warnings
from pathlib import Path

from components.files import sha256
from pipeline.experiment import Experiment

BUILD = Path("build")


def compile_experiment(experiment: Experiment, folder: Path = BUILD) -> tuple[Path, str]:
    """Write `<folder>/<experiment>.yaml`, whole or not at all.

    Args:
        experiment: The checked experiment.
        folder: Where to write.

    Returns:
        The file, and its SHA-256.
    """
    from kfp import compiler

    from pipeline.definition import define

    path = folder / f"{experiment.name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{experiment.name}.partial.yaml"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(define(experiment), str(aside))
    aside.replace(path)
    return path, sha256([path])
