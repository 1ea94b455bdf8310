"""What is refused before a run when its tracker can't be one."""

import sys

import pytest
from small_experiment import GOOD, assert_refused, write

from components.common.errors import InputError
from pipeline import api
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

URI = "MLFLOW_TRACKING_URI"


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Start an experiment that is refused before anything is written; the lines."""
    monkeypatch.chdir(tmp_path)

    def run(content, uri=""):
        monkeypatch.setenv(URI, uri)
        with pytest.raises(InputError) as error:
            api.run(write(tmp_path, content))
        assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
        return list(error.value.problems)

    return run


def test_a_tracker_without_an_address(refused):
    assert refused({**GOOD, "track": "mlflow"}) == [
        f"{URI}: isn't set, expected the address of an MLflow server, http:// or https://, such as http://localhost:5000"
    ]


@pytest.mark.parametrize(
    "uri", ["localhost:5000", "mlruns", "sqlite:///x.db", "ftp://me:s3cr3t@x", "http://", "http://[x", "http://x:port"]
)
def test_an_address_that_is_none_by_the_environment_alone(refused, uri):
    (line,) = refused(GOOD, uri)
    assert line.startswith(f"{URI}: isn't a server's address, expected the address of an MLflow server, http://")
    assert "s3cr3t" not in line


def test_mlflow_is_not_installed(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (line,) = refused(GOOD, "http://localhost:5000")
    assert line.endswith("mlflow isn't installed; pip install mlflow-skinny installs what is needed")


def test_another_tracker(tmp_path):
    assert_refused(write(tmp_path, {**GOOD, "track": "wandb"}), ["track: 'wandb': expected 'mlflow'"])


def test_the_compiled_pipeline_knows_nothing_of_it(tmp_path, monkeypatch):
    plain = compile_experiment(load_experiment(write(tmp_path), []), tmp_path)[1]
    monkeypatch.setenv(URI, "http://me:s3cr3t@localhost:5000")
    assert compile_experiment(load_experiment(write(tmp_path, {**GOOD, "track": "mlflow"}), []), tmp_path)[1] == plain
