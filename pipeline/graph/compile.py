"""Compile an experiment into the file that every runner runs."""

import os
import warnings
from pathlib import Path
from typing import Any

import yaml

from components.common.errors import InputError
from components.common.files import sha256
from components.common.folders import usable
from pipeline.experiment.experiment import Experiment
from pipeline.experiment.machines import Target, machines

BUILD = Path("build")


def compile_experiment(experiment: Experiment, folder: Path = BUILD, target: Target = "vertex") -> tuple[Path, str]:
    """Write `<folder>/<experiment>.yaml` atomically; for Kubeflow `<experiment>-kubeflow.yaml`.

    Args:
        experiment: The checked experiment.
        folder: The folder to write into.
        target: The platform whose names accelerators and nodes have. A local run takes either.

    Returns:
        The file, and its SHA-256.

    Raises:
        InputError: The target can't provide a machine, the folder can't be used, a folder has the file's name, or the
            disk is full.
    """
    from kfp import compiler

    from pipeline.graph.definition import define

    for name, spec in experiment.models.items():
        workers = machines()[spec.machine].workers if spec.machine else 1
        if target == "kubeflow" and workers > 1:
            raise InputError(
                f"models.{name}: machine {spec.machine} has {workers} workers, which Vertex AI alone can start"
            )
    path = folder / f"{experiment.name}{'-kubeflow' if target == 'kubeflow' else ''}.yaml"
    if path.is_dir():
        raise InputError(f"{path}: a folder, expected a file")
    usable(folder)
    partial = folder / f".{path.stem}.partial.yaml"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = define(experiment, target)
        try:
            compiler.Compiler().compile(pipeline, str(partial))
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise InputError(f"{os.path.relpath(path)}: can't be written: {error.strerror}") from None
    return path, sha256([path])


def read_compiled(path: Path) -> dict[str, Any]:
    """The pipeline in a compiled file, KFP's PipelineSpec."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
    with path.open(encoding="utf-8") as file:
        return dict(next(yaml.load_all(file, loader)))
