from contextlib import closing

import pytest
import yaml
from kubeflow_api import Server

from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CONFIG = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4, hyperparameters: {units: 8}}
"""


@pytest.fixture
def kubeflow():
    """A server of the test's own."""
    with closing(Server()) as server:
        yield server


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "kf_small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def compiled(config, tmp_path):
    """Compile for a target; the file, and the names of its tasks."""

    def compile_for(target):
        file, _ = compile_experiment(load_experiment(config, []), tmp_path, target)
        return file, list(next(yaml.safe_load_all(file.read_text()))["root"]["dag"]["tasks"])

    return compile_for
