"""What is said of models of two runs that can't be compared. Real runs are in tests/end_to_end/test_runs.py."""

import json

import numpy as np
import pytest
from made_runs import make_run
from typer.testing import CliRunner

from pipeline import compare, load
from pipeline.__main__ import app
from pipeline.runs import diff

TASK = "classification"
A, B = "20260101-080000", "20260102-080000"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs of two models: mlp is better in the second, and small is the same but for other predictions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name, right in ((A, 120), (B, 190)):
        make_run(tmp_path / "runs", name, right=right, models=("mlp", "small"))
    return tmp_path / "runs" / "small"


def verdicts():
    """The verdicts on B's models, by name, and what `runs diff` prints."""
    before, now = load(f"small/{A}"), load(f"small/{B}")
    found = {
        model.model: diff.compare(before, old, now, new).verdict for model, old, new in diff.pairs(before, now, TASK)
    }
    done = CliRunner().invoke(app, ["runs", "diff", f"small/{A}", f"small/{B}"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return found, done.output


def entry(run, **values):
    """Change the entry of mlp in a leaderboard; None for a model that isn't there."""
    path = run / "leaderboard.json"
    content = json.loads(path.read_text())
    (mlp,) = (model for model in content["models"] if model["model"] == "mlp")
    for key, value in values.items():
        mlp[key] = value
    if not values:
        content["models"].remove(mlp)
    path.write_text(json.dumps(content))


def without(name):
    return lambda run: (run / "models/mlp" / name).unlink()


def other_version(run):
    path = run / "models/mlp/dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}))


def damaged(run):
    path = run / "models/mlp/evaluation/predictions.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def other_labels(run):
    path = run / "models/mlp/evaluation/predictions.npz"
    saved = dict(np.load(path))
    np.savez(path, target=saved["target"][::-1], prediction=saved["prediction"])


@pytest.mark.parametrize("run", [A, B])
@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (without("evaluation/predictions.npz"), "can't be compared: predictions.npz of {run} is gone or damaged"),
        (damaged, "can't be compared: predictions.npz of {run} is gone or damaged"),
        (without("dataset.json"), "can't be compared: dataset.json of {run} is gone or of another version"),
        (other_version, "can't be compared: dataset.json of {run} is gone or of another version"),
        (other_labels, "other test data"),
    ],
)
def test_what_cannot_be_compared_says_why(runs, run, change, verdict):
    change(runs / run)
    verdict = verdict.format(run=run)
    found, _ = verdicts()
    assert found["mlp"] == verdict
    assert found["small"].startswith("better by"), "the other one is"
    frame = compare(f"small/{A}", f"small/{B}").set_index("model")
    assert frame["verdict"].to_dict() == found
    assert frame.loc["mlp", ["before", "now"]].tolist() == [0.6, 0.95], "figures that were measured are shown"
    assert frame.loc["mlp", ["low", "high"]].isna().all()


def test_a_model_that_failed_is_not_missing(runs):
    failed = {"rank": None, "task": None, "metrics": {}, "intervals": {}, "reasons": ["train-mlp failed: no"]}
    entry(runs / B, **failed)
    found, said = verdicts()
    assert found["mlp"] == "failed in B"
    assert "0.6000 → none" in said
    assert compare(f"small/{A}", f"small/{B}")["model"].tolist() == ["small"]
    entry(runs / A, **failed)
    assert verdicts()[0]["mlp"] == "failed in A and B"


@pytest.mark.parametrize(("run", "verdict"), [(A, "only in B"), (B, "only in A")])
def test_a_model_of_one_run_alone(runs, run, verdict):
    entry(runs / run)
    assert verdicts()[0]["mlp"] == verdict
    assert compare(f"small/{A}", f"small/{B}")["model"].tolist() == ["small"]


def test_runs_of_other_versions_are_compared(runs):
    """The earlier one has no record, no p-values and fewer metrics; the later one has keys that came afterwards."""
    (runs / A / "run.json").unlink()
    content = json.loads((runs / A / "leaderboard.json").read_text())
    for model in content["models"]:
        del model["mcs_p_value"], model["ties"], model["metrics"]["macro_f1"]
    del content["datasets"]["images"]["confidence_set"], content["seed"]
    (runs / A / "leaderboard.json").write_text(json.dumps(content))
    content = json.loads((runs / B / "leaderboard.json").read_text())
    content["datasets"]["images"]["later"] = content["later"] = 1
    (runs / B / "leaderboard.json").write_text(json.dumps(content))
    found, said = verdicts()
    assert found["mlp"].startswith("better by 0.2")
    assert "config: not known: an earlier version wrote one of the runs" in said
    assert "code: not known" in said
    assert "none → 0.9500" in said
    assert "another version wrote it; left out: later" in said
    assert compare(f"small/{A}", f"small/{B}")["verdict"].to_dict() == {0: found["mlp"], 1: found["small"]}


def test_a_run_without_a_leaderboard_has_no_models(runs):
    (runs / A / "leaderboard.json").write_text("{")
    found, said = verdicts()
    assert found == dict.fromkeys(["mlp", "small"], f"can't be compared: {A} has no leaderboard.json that can be read")
    assert "data: not known: one of the runs has no leaderboard" in said
    assert "leaderboard.json: isn't a leaderboard that this version can read" in said
    assert compare(f"small/{A}", f"small/{B}").empty


def test_runs_without_a_common_data_set_have_not_the_same_data(runs):
    assert "data: the same" in verdicts()[1]
    text = (runs / B / "leaderboard.json").read_text()
    (runs / B / "leaderboard.json").write_text(text.replace('"images"', '"others"'))
    assert "data: no data set in both" in verdicts()[1]


def test_forecasts_that_are_not_finite_are_not_called_worse(runs):
    for run, broken in ((A, 0.0), (B, np.nan)):
        forecast = np.ones((60, 2), np.float32)
        forecast[7, 1] = broken
        path = runs / run / "models/mlp/evaluation/predictions.npz"
        np.savez(path, target=np.zeros((60, 2)), prediction=forecast)
    assert verdicts()[0]["mlp"] == f"can't be compared: predictions of {B} aren't finite"
