"""What is refused before a run when its tracker can't be one."""

import sys

import pytest
from small_experiment import GOOD, assert_refused, write

from components.common.errors import InputError
from pipeline import api
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment
from pipeline.local.run import prepare
from pipeline.runs import mlflow_server

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
def test_an_address_that_is_none(refused, uri):
    (line,) = refused({**GOOD, "track": "mlflow"}, uri)
    assert line.startswith(f"{URI}: isn't a server's address, expected the address of an MLflow server, http://")
    assert "s3cr3t" not in line


def test_mlflow_is_not_installed(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (line,) = refused({**GOOD, "track": "mlflow"}, "http://localhost:5000")
    assert line.endswith("mlflow isn't installed; pip install mlflow-skinny installs what is needed")


@pytest.mark.parametrize(
    ("uri", "installed", "reason"),
    [
        ("databricks", True, "isn't a server's address"),
        ("sqlite:///s3cr3t.db", True, "isn't a server's address"),
        ("file:///s3cr3t", True, "isn't a server's address"),
        ("http://me:s3cr3t@localhost:5000", False, "mlflow isn't installed"),
        ("databricks", False, "mlflow isn't installed"),
        ("http://me:s3cr3t@localhost:5000", True, ""),
        ("", False, ""),
    ],
)
def test_a_variable_that_was_set_for_another_project_stops_no_run(
    tmp_path, monkeypatch, capsys, uri, installed, reason
):
    monkeypatch.setenv(URI, uri)
    if not installed:
        monkeypatch.setitem(sys.modules, "mlflow", None)
    prepare(load_experiment(write(tmp_path), []), tmp_path / "runs")
    assert mlflow_server.is_wanted(None) == bool(uri and not reason)
    said = capsys.readouterr().err
    assert said.count("\n") == bool(reason)
    assert said.startswith(f"mlflow: the run won't be sent: {URI}: " if reason else "")
    assert reason in said
    assert "s3cr3t" not in said


def test_another_tracker(tmp_path):
    assert_refused(write(tmp_path, {**GOOD, "track": "wandb"}), ["track: 'wandb': expected 'mlflow'"])


def test_the_compiled_pipeline_knows_nothing_of_it(tmp_path, monkeypatch):
    plain = compile_experiment(load_experiment(write(tmp_path), []), tmp_path)[1]
    monkeypatch.setenv(URI, "http://me:s3cr3t@localhost:5000")
    assert compile_experiment(load_experiment(write(tmp_path, {**GOOD, "track": "mlflow"}), []), tmp_path)[1] == plain
