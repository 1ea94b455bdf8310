"""An audit finds what was changed in a proof, also by someone who signs it again."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from proofs import change_arrays, change_json, failing, lied, put_together, taken_apart

from components.artifacts.model import ModelInfo
from components.common.errors import InputError
from pipeline.evidence.audit import audit


def test_a_changed_metric(made, tmp_path):
    def change(folder):
        board = json.loads((folder / "leaderboard.json").read_text())
        for entry in board["models"]:
            if entry["model"] == "small_mlp":
                entry["metrics"]["accuracy"] += 0.01
        (folder / "leaderboard.json").write_text(json.dumps(board))

    found = lied(made, tmp_path, change)
    assert found.keys() == {"metrics"}
    assert found["metrics"].startswith("accuracy is ")


def test_a_changed_config(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "learning_rate", to=lambda rate: rate / 2)

    assert lied(made, tmp_path, change) == {"config": "models.small_mlp.learning_rate: 0.0005 and 0.001"}


def test_a_changed_config_that_the_model_agrees_with(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "learning_rate", to=lambda rate: rate / 2)
        change_json(folder / "model.json", "spec", "learning_rate", to=lambda rate: 0.0005)

    found = lied(made, tmp_path, change)
    assert found.keys() == {"training", "model"}
    assert found["training"] == "steps 0 to 200: other metrics of epochs than the model's history has"
    assert found["model"] == "its checkpoint has learning rate 0.0010000000474974513, expected 0.0005000000237487257"


def test_a_model_with_other_layers(made, tmp_path):
    """The weights are the same, but not what is computed with them."""

    def change(folder):
        with zipfile.ZipFile(folder / "model.keras") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["config.json"] = files["config.json"].replace(b'"relu"', b'"gelu"')
        with zipfile.ZipFile(folder / "model.keras", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    found = lied(made, tmp_path, change)
    assert found == dict.fromkeys(
        ("model", "predictions", "metrics"), "model.keras has other layers than family mlp builds"
    )


def test_other_data(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "datasets", "fashion", "use", to=lambda use: 0.02)

    found = lied(made, tmp_path, change)
    assert "other records" in found["data"]
    assert found.keys() == {"data", "training", "model", "predictions", "metrics"}


def test_other_code_and_packages(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "code", "components/train/adam.py", to=lambda digest: digest[::-1])
        change_json(folder / "proof.json", "versions", "keras", to=lambda version: "3.0.0")

    found = lied(made, tmp_path, change)
    assert found["code"] == "differs here: components/train/adam.py"
    assert found["packages"].startswith("keras 3.0.0, here 3.")
    assert found.keys() == {"code", "packages"}


@pytest.mark.parametrize("model", [{"tune": {"trials": "many"}}, {"hyperparameters": 3}])
def test_a_config_that_is_none(model, made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", to=lambda config: {**config, **model})

    assert lied(made, tmp_path, change).keys() == {"config"}


def test_changed_predictions(made, tmp_path):
    def nudge(arrays):
        arrays["prediction"][0] = np.nextafter(arrays["prediction"][0], np.float32(9))

    found = lied(made, tmp_path, lambda folder: change_arrays(folder / "predictions.npz", nudge))
    assert found.keys() == {"predictions"}


@pytest.mark.parametrize("dtype", ["float64", "U32"])
def test_predictions_of_another_type(dtype, made, tmp_path):
    def change(folder):
        change_arrays(
            folder / "predictions.npz", lambda saved: saved.update(prediction=saved["prediction"].astype(dtype))
        )

    found = lied(made, tmp_path, change)
    assert found.keys() == {"predictions"}
    assert ", expected float32 [" in found["predictions"]


def test_a_changed_temperature(made, tmp_path):
    def change(folder):
        assert ModelInfo.load(folder).temperature.value < 0.9
        change_json(folder / "model.json", "temperature", "value", to=lambda value: 1.5)

    found = lied(made, tmp_path, change)
    assert found.keys() == {"model"}
    assert "trained again it has temperature 0." in found["model"]
    assert "expected temperature 1.5: " in found["model"]


def test_on_another_cpu_it_is_within_a_tolerance(made, tmp_path):
    """The same lies as above are found, where they are larger than another CPU's last bits."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    board = json.loads((folder / "leaderboard.json").read_text())
    for entry in board["models"]:
        entry["machine"]["cpu"] = "another"
    (folder / "leaderboard.json").write_text(json.dumps(board))
    change_json(folder / "model.json", "machine", "cpu", to=lambda cpu: "another")

    def nudge(by):
        def change(arrays):
            arrays["arr_0"] *= 1 + by

        return lambda: change_arrays(folder / "checkpoints/0/after.npz", change)

    nudge(np.float32(1e-6))()
    proof = put_together(folder, tmp_path / "other", made.own)
    lines = {line.what: line for line in audit(proof, made.allowed, 0, None, lambda text: None)}
    assert lines["machine"].holds is None and "within tolerances, this is " in lines["machine"].found
    assert lines["training"].holds and "of their way off, expected at most 5%" in lines["training"].found
    assert not [line for line in lines.values() if line.holds is False]
    nudge(np.float32(0.3))()
    assert failing(made, put_together(folder, tmp_path / "far", made.own)).keys() == {"training"}


def set_cores(folder):
    change_json(folder / "model.json", "machine", "cores", to=lambda cores: 10**9)


def set_threads(folder):
    change_json(folder / "model.json", "spec", "threads", to=lambda threads: 10**9)


def keep_none(folder):
    change_json(folder / "proof.json", "config", "models", "small_mlp", "keep_checkpoints", to=lambda number: 0)
    change_json(folder / "model.json", "spec", "keep_checkpoints", to=lambda number: 0)
    for path in (folder / "checkpoints").iterdir():
        if path.name != "0":
            shutil.rmtree(path)


def without_metric(folder):
    change_json(folder / "model.json", "history", 0, to=lambda epoch: {"seconds": 1.0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (keep_none, "model.json: keep_checkpoints: 0, expected at least 1"),
        (set_cores, "model.json: machine.cores: Input should be less than or equal to 4096"),
        (set_threads, "model.json: spec.threads: Input should be less than or equal to 1024"),
        (without_metric, "model.json: history: an epoch without val_accuracy"),
    ],
)
def test_what_no_training_writes_is_refused(change, message, made, tmp_path):
    folder = taken_apart(made.proof, tmp_path / "proof")
    change(folder)
    proof = put_together(folder, tmp_path / "lie")
    with pytest.raises(InputError) as refused:
        audit(proof, None, 0, None, lambda text: None)
    assert refused.value.lines() == [f"{proof}: {message}"]
