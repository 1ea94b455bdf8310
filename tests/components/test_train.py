"""Trainings, called as KFP calls them, on a slice of the real data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from kfp import dsl
from small_run import MODELS, artifact, train_one

from components.artifacts.model import best_epoch
from components.train import train as train_step
from components.train.threads import threads


def weights_of(model):
    import keras

    return keras.saving.load_model(Path(model.path) / "model.keras", compile=False).get_weights()


def test_two_trainings_of_one_seed_are_equal_to_the_bit(ingested, trained, tmp_path):
    again = train_one("mlp", tmp_path, ingested)
    for first, second in zip(weights_of(trained["mlp"]), weights_of(again), strict=True):
        np.testing.assert_array_equal(first, second)
    other = train_one("mlp", tmp_path / "other", ingested, seed=2)
    assert any((a != b).any() for a, b in zip(weights_of(again), weights_of(other), strict=True))


def test_a_step_is_traced_once(ingested, tmp_path, monkeypatch):
    import keras

    traced = []
    step = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda self, data: traced.append(data) or step(self, data))
    train_one("mlp", tmp_path, ingested)
    assert len(traced) == 1


def killed_after(epochs, name, folder, ingested):
    """Train in a process that is killed once so many epochs are checkpointed; where its model would be."""
    code = (
        "import json, os, signal, sys\n"
        "import tensorflow as tf\n"
        "from components.train import trainer, train as train_step\n"
        # As this process has it: a checkpoint is of one number of threads.
        "tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[3]))\n"
        "on_step = trainer.Trainer.on_step\n"
        "def stop(self):\n"
        "    on_step(self)\n"
        "    if len(self.state.history) == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "trainer.Trainer.on_step = stop\n"
        "train_step.train(*json.loads(sys.argv[1]))\n"
    )
    model = artifact(dsl.Model, folder / "run" / f"train-{name}" / "model")
    arguments = [name, json.dumps(MODELS[name]), 1, "x", ingested[MODELS[name]["dataset"]].path, model.path]
    arguments.append(str(folder / "checkpoints"))
    command = [sys.executable, "-c", code, json.dumps(arguments), str(epochs), str(threads())]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    return model


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_training_goes_on_and_ends_with_the_same_weights(name, ingested, trained, tmp_path):
    model = killed_after(1, name, tmp_path, ingested)
    assert not Path(model.path).exists()
    assert list((tmp_path / "checkpoints").iterdir())

    resumed = train_one(name, tmp_path, ingested)
    for first, second in zip(weights_of(trained[name]), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(first, second)
    old = json.loads((Path(trained[name].path) / "model.json").read_text())
    new = json.loads((Path(resumed.path) / "model.json").read_text())
    assert [{**h, "seconds": 0} for h in old["history"]] == [{**h, "seconds": 0} for h in new["history"]]
    assert old["best_epoch"] == new["best_epoch"]
    assert not list((tmp_path / "checkpoints").iterdir()), "checkpoints of a finished training take room for nothing"


def test_a_damaged_checkpoint_is_passed_over(ingested, trained, tmp_path, capsys):
    killed_after(2, "mlp", tmp_path, ingested)
    newest = sorted((tmp_path / "checkpoints").rglob("checkpoint-2.data*"))[0]
    newest.write_bytes(newest.read_bytes()[:-500])
    resumed = train_one("mlp", tmp_path, ingested)
    said = capsys.readouterr().out
    assert "checkpoint 2 is damaged, trying the one before\n" in said
    assert "going on from the checkpoint after epoch 1\n" in said
    for first, second in zip(weights_of(trained["mlp"]), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_code_version_starts_anew(ingested, tmp_path, capsys):
    train_one("lstm", tmp_path, ingested, epochs=1)
    capsys.readouterr()
    train_one("lstm", tmp_path, ingested, epochs=1, code_version="y")
    assert "going on" not in capsys.readouterr().out


def test_early_stopping_keeps_the_best_epoch(ingested, tmp_path):
    model = train_one("mlp", tmp_path, ingested, epochs=30, patience=1, learning_rate=0.05)
    info = json.loads((Path(model.path) / "model.json").read_text())
    accuracies = [epoch["val_accuracy"] for epoch in info["history"]]
    assert len(accuracies) < 30
    assert info["best_epoch"] == accuracies.index(max(accuracies)) + 1


@pytest.mark.parametrize(
    ("task", "metric", "values", "best"),
    [
        ("classification", "val_accuracy", [0.1, 0.3, 0.3, 0.2], 1),
        ("forecasting", "val_mae", [0.4, 0.2, 0.2, 0.3], 1),
        ("forecasting", "val_mae", [], 0),
    ],
)
def test_the_first_of_equal_epochs_is_the_best(task, metric, values, best):
    assert best_epoch([{metric: value, "seconds": 1.0} for value in values], task) == best


def test_tensorboard_shows_curves_the_graph_and_histograms_when_asked(ingested, trained, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def tags(model, part="train"):
        return set(EventAccumulator(str(Path(model.path) / "tensorboard" / part)).Reload().Tags()["tensors"])

    usual = tags(trained["mlp"])
    assert usual == {"epoch_loss", "epoch_accuracy", "epoch_learning_rate", "keras"}
    names = {"epoch_loss", "epoch_accuracy", "evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations"}
    assert tags(trained["mlp"], "validation") == names
    asked = tags(train_one("mlp", tmp_path, ingested, epochs=1, histograms=True))
    assert {tag.split("/")[-2] for tag in asked - usual} >= {"kernel", "bias"}


def test_the_layers_of_a_model_have_all_its_weights(trained):
    for model in trained.values():
        info = json.loads((Path(model.path) / "model.json").read_text())
        assert sum(layer["parameters"] for layer in info["layers"]) == info["parameters"]
        names = [layer["name"] for layer in info["layers"]]
        assert all(names.index(before) < i for i, la in enumerate(info["layers"]) for before in la["inputs"])


@pytest.mark.parametrize(
    "error",
    [MemoryError(), MemoryError("Unable to allocate 9 GiB"), tf.errors.ResourceExhaustedError(None, None, "OOM\nmore")],
)
def test_memory_that_runs_out_is_one_line(ingested, tmp_path, monkeypatch, error):
    def build(*arguments):
        raise error

    monkeypatch.setattr(train_step, "build_model", build)
    with pytest.raises(RuntimeError, match=r"^memory runs out: a smaller model or batch_size needs less[^\n]*$"):
        train_one("lstm", tmp_path, ingested, epochs=1)


def test_a_full_disk_is_not_taken_for_memory(ingested, tmp_path, monkeypatch):
    def build(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "/tmp/x; No space left on device")

    monkeypatch.setattr(train_step, "build_model", build)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="No space left on device"):
        train_one("lstm", tmp_path, ingested, epochs=1)
