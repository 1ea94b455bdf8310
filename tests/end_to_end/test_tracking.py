"""Runs sent to a real MLflow server, which plain HTTP and MLflow's own loaders then read."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from mlflow_server import Proxy, Server

from components.artifacts.leaderboard import Leaderboard
from components.common.errors import InputError
from pipeline.runs import tracking
from pipeline.runs.history import load
from pipeline.runs.mlflow_server import NotSentError

pytestmark = pytest.mark.slow
CONFIG = """\
seed: 1
datasets:
  fashion: {source: fashion_mnist, use: 0.02, gate: none}
  electricity: {source: electricity, use: 0.1, lookback: 48, horizon: 12, calendar: [hour]}
models:
  mlp: {family: mlp, dataset: fashion, epochs: 2, batch_size: 50, hyperparameters: {units: [16]}}
  series:
    {family: mlp, dataset: electricity, epochs: 1, quantiles: [0.1, 0.5, 0.9], hyperparameters: {units: [8]}}
"""
PASSWORD = "s3cr3t"  # noqa: S105 (of nothing)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def done(project, server):
    """The project after a run that the environment alone asked to be sent; what the run printed."""
    project.config.write_text(CONFIG)
    project.environment["MLFLOW_TRACKING_URI"] = server.address.replace("//", f"//me:{PASSWORD}@")
    code, project.output = project.run("run", project.config)
    assert code == 0, project.output
    return project


@pytest.fixture
def home(done):
    return done.folder / "runs" / "small"


@pytest.fixture
def copied(home, tmp_path):
    """The run in a folder of its own, as another experiment's, so that the server takes it for a new one."""

    def copy(experiment):
        first = min(home.glob("2*"))
        target = tmp_path / "runs" / experiment / first.name
        shutil.copytree(first, target)
        board = target / "leaderboard.json"
        board.write_text(board.read_text().replace('"experiment": "small"', f'"experiment": "{experiment}"'))
        return target

    return copy


def only_parent(runs):
    (parent,) = (run for run in runs.values() if run.parent is None)
    return parent, {run.name: run for run in runs.values() if run.parent == parent.id}


def test_a_run_and_its_models_are_what_the_run_folder_says(done, home, server):
    parent, models = only_parent(server.runs("small"))
    assert f"mlflow: {server.address}/#/experiments/1/runs/{parent.id}\n" in done.output
    assert (parent.name, parent.status) == ((home / "latest").resolve().name, "FINISHED")
    assert parent.parameters["seed"] == "1"
    assert parent.parameters["datasets.electricity.horizon"] == "12"
    assert not any(name.startswith("models.") for name in parent.parameters)
    sizes = {name: (home / "latest" / name).stat().st_size for name in ("report.html", "pipeline.yaml", "run.json")}
    assert sizes.items() <= parent.files().items()
    assert parent.files()["leaderboard.json"] > 0
    board = Leaderboard.load(home / "latest")
    assert models.keys() == {entry.model for entry in board.models} == {"mlp", "series"}
    for entry in board.models:
        sent = models[entry.model]
        assert sent.status == "FINISHED"
        assert sent.seconds == pytest.approx(entry.train_seconds, abs=0.01)
        assert (sent.tags["rank"], sent.tags["gate"]) == (str(entry.rank), board.verdict(entry))
        assert sent.metrics["parameters"] == entry.parameters
        for name, value in entry.metrics.items():
            three = [sent.metrics[f"test_{name}{end}"] for end in ("", "_low", "_high")]
            assert three == pytest.approx([value, *entry.intervals[name]])
        folder = home / "latest" / "models" / entry.model
        info = json.loads((folder / "model.json").read_text())
        assert sent.parameters["epochs"] == str(info["spec"]["epochs"])
        assert sent.parameters["hyperparameters.units"] == json.dumps(info["spec"]["hyperparameters"]["units"])
        for name, last in info["history"][-1].items():
            assert sent.history(name)[-1] == (len(info["history"]), pytest.approx(last))
            assert len(sent.history(name)) == len(info["history"])
        files = {f"model/{p.relative_to(folder)}": p.stat().st_size for p in folder.rglob("*") if p.is_file()}
        assert files.items() <= sent.files().items()
        assert sent.files().keys() - files.keys() == {
            "model/MLmodel", "model/requirements.txt", "model/python_env.yaml"
        }  # fmt: skip


def test_credentials_are_nowhere(done, home, server):
    assert PASSWORD not in done.output
    for place in (done.folder / "runs", done.folder / "build", server.folder):
        for path in place.rglob("*"):
            assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_sending_again_changes_nothing(done, server):
    before = {run.id: run.files() for run in server.runs("small").values()}
    code, output = done.run("runs", "track", "small")
    assert (code, output) == (0, re.search("mlflow: .*\n", done.output)[0])
    assert {run.id: run.files() for run in server.runs("small").values()} == before


LOADS = """
import json, sys
import mlflow, numpy as np
golden = json.load(open(sys.argv[2]))
names = golden["instances"][0]
types = {"image": "uint8", "window": "float32", "future": "float32"}
inputs = {name: np.array([x[name] for x in golden["instances"]], types[name]) for name in names}
model = mlflow.pyfunc.load_model(sys.argv[1])
assert {x.name for x in model.metadata.signature.inputs} == set(names)
rows = golden["predictions"]
names = list(rows[0]) if isinstance(rows[0], dict) else []
right = np.stack([np.array([row[name] for row in rows]) for name in names], axis=-1) if names else np.array(rows)
outputs = model.metadata.signature.outputs.inputs
answer = model.predict(inputs)
if isinstance(answer, dict):
    assert not names or {x.name: x.shape[1:] for x in outputs} == {name: answer[name].shape[1:] for name in answer}
    answer = np.stack([answer[name] for name in names], axis=-1) if names else next(iter(answer.values()))
else:
    assert [x.shape[1:] for x in outputs] == [answer.shape[1:]]
    keras = mlflow.keras.load_model(sys.argv[1]).predict(inputs, verbose=0)
    np.testing.assert_allclose(keras, right, atol=1e-4)
np.testing.assert_allclose(answer, right, atol=1e-4)
assert ("tensorflow" in sys.modules) == ("onnx" not in model.metadata.flavors)
try:
    model.predict({name: values[:, :1] for name, values in inputs.items()})
except mlflow.MlflowException as error:
    print(error)
"""


@pytest.mark.parametrize(("model", "onnx"), [("mlp", True), ("series", True), ("series", False)])
def test_mlflow_loads_the_models_with_their_signature(copied, server, model, onnx, monkeypatch, tmp_path):
    """In a process that doesn't have this project."""
    run = copied(f"loaded-{model}-{onnx}")
    if not onnx:
        (run / "models" / model / "model.onnx").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    tracking.send(load(run))
    identifier = only_parent(server.runs(run.parent.name))[1][model].id
    golden = run / "models" / model / "golden.json"
    command = [sys.executable, "-c", LOADS, f"runs:/{identifier}/model", golden]
    loaded = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    assert "Shape of input" in loaded.stdout, "the signature refuses what the model doesn't take"


@pytest.mark.parametrize("how", ["500", "hangs up"])
def test_a_server_that_breaks_halfway_leaves_no_duplicates(copied, server, how, monkeypatch):
    run = copied(f"broken-{how[0]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with Proxy(server, how) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        for left in range(4, 100, 9):
            proxy.left = left
            with pytest.raises(NotSentError, match=re.escape(proxy.address)):
                tracking.send(load(run))
            runs = server.runs(run.parent.name)
            assert all(one.status == "RUNNING" for one in runs.values() if one.parent is None), "it isn't whole"
            if complete := {one.id for one in runs.values() if one.status == "FINISHED"}:
                break
        assert len(complete) == 1, "it broke after the first model"
        proxy.left = 1000
        tracking.send(load(run))
    parent, models = only_parent(server.runs(run.parent.name))
    assert {one.status for one in (parent, *models.values())} == {"FINISHED"}
    assert complete < server.runs(run.parent.name).keys(), "what was whole is as it was"
    assert len(server.runs(run.parent.name)) == 3
    whole = only_parent(server.runs("small"))[1]
    for name, model in models.items():
        assert model.files().keys() == whole[name].files().keys()
        assert (model.metrics, model.parameters) == (whole[name].metrics, whole[name].parameters)


def test_a_run_goes_on_without_its_server_and_is_sent_later(done, home, server):
    address = done.environment.pop("MLFLOW_TRACKING_URI")
    try:
        with Proxy(server, "hangs up") as gone:
            done.environment["MLFLOW_TRACKING_URI"] = gone.address.replace("//", f"//me:{PASSWORD}@")
        code, output = done.run("run", done.config, "--set", "track=mlflow")
    finally:
        done.environment["MLFLOW_TRACKING_URI"] = address
    assert code == 0, output
    name = (home / "latest").resolve().name
    (line,) = (line for line in output.splitlines() if line.startswith("mlflow: "))
    assert line.startswith(f"mlflow: not sent: {gone.address}: HTTPConnection")
    assert line.endswith(f"Connection refused; later: python -m pipeline runs track small/{name}")
    assert PASSWORD not in output
    assert json.loads((home / name / "run.json").read_text())["state"] == "finished"
    assert name not in {run.name for run in server.runs("small").values()}
    assert done.run("runs", "track", f"small/{name}")[0] == 0
    assert name in {run.name for run in server.runs("small").values()}


def test_a_server_that_says_nothing_is_given_up(copied, server, monkeypatch):
    """MLflow itself would wait for two minutes, eight times."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = copied("silent")
    with Proxy(server, "silent") as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        began = time.monotonic()
        with pytest.raises(NotSentError, match="timed out"):
            tracking.send(load(run))
        assert time.monotonic() - began < 60
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ, "the environment is as it was"


def test_a_run_with_a_failed_model(done, server):
    worse = ["--set", "models.series.learning_rate=1000", "--set", "models.series.optimizer=sgd"]
    code, output = done.run("run", done.config, "--keep-going", *worse)
    assert code == 1
    identifier = re.search("^mlflow: .*/runs/([0-9a-f]+)$", output, re.MULTILINE)[1]
    runs = server.runs("small")
    models = {run.name: run for run in runs.values() if run.parent == identifier}
    states = {name: run.status for name, run in models.items()}
    assert (runs[identifier].status, states) == ("FAILED", {"mlp": "FINISHED", "series": "FAILED"})
    assert models["series"].parameters["learning_rate"] == "1000.0"
    assert "train-series" in models["series"].tags["mlflow.note.content"]


def test_a_run_of_an_older_version(copied, server, monkeypatch):
    run = copied("older")
    for name in ("run.json", "models/mlp/model.json", "models/mlp/dataset.json"):
        (run / name).unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "all of ours")
    tracking.send(load(run))
    parent, models = only_parent(server.runs("all of ours"))
    assert {one.status for one in (parent, *models.values())} == {"FINISHED"}
    assert {name: len(model.history("loss")) for name, model in models.items()} == {"mlp": 0, "series": 1}
    assert {"test_accuracy", "test_accuracy_low"} <= models["mlp"].metrics.keys()
    assert "model/model.keras" in models["mlp"].files()
    assert "model/MLmodel" not in models["mlp"].files()


def test_a_run_without_results(copied, server, monkeypatch):
    run = copied("stopped")
    (run / "leaderboard.json").unlink()
    record = run / "run.json"
    record.write_text(record.read_text().replace('"state": "finished"', '"state": "stopped"'))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    with pytest.raises(InputError, match="stopped, without a leaderboard; expected a run that has results"):
        tracking.send(load(run))


def test_a_run_that_is_not_there(done):
    code, output = done.run("runs", "track", "smal")
    assert (code, output.count("\n")) == (2, 1)
    assert "did you mean small" in output
