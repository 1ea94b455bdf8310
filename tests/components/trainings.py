"""Small trainings for the tests beside this file, and a signal at one of their steps."""

import functools
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from components.train import train as train_step
from components.train import trainer
from components.vertex.checkpoints import address, hold_checkpoints

DATASETS = {
    "fashion": {"source": "fashion_mnist", "use": 0.01},
    "electricity": {"source": "electricity", "use": 0.1, "lookback": 96, "horizon": 12, "calendar": ["hour"]},
}
MODELS = {
    "mlp": {
        "family": "mlp",
        "dataset": "fashion",
        "epochs": 3,
        "batch_size": 50,
        "flip": True,
        "hyperparameters": {"units": [16], "dropout": [0.3], "norm_inputs": True, "norm": True},
    },
    "lstm": {
        "family": "lstm",
        "dataset": "electricity",
        "epochs": 3,
        "ema": 0.9,
        "schedule": "cosine",
        "quantiles": [0.1, 0.5, 0.9],
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True, "dropout": 0.2},
    },
}
STEPS = {"mlp": 11, "lstm": 9}


def train(name, folder, datasets, code_version="x", run="run", **changes):
    spec = {**MODELS[name], **changes}
    model, checkpoints = model_folder(folder, run), address(folder / "checkpoints")
    hold = functools.partial(hold_checkpoints, output=model)
    dataset = str(datasets / spec["dataset"])
    train_step.train(name, json.dumps(spec), 1, code_version, dataset, model, checkpoints, hold=hold)
    return result(folder, run)


def model_folder(folder, run="run"):
    return str(folder / run / "train" / "model")


def result(folder, run="run"):
    import keras

    info = json.loads(Path(model_folder(folder, run), "model.json").read_text(encoding="utf-8"))
    history = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in info["history"]]
    weights = keras.saving.load_model(Path(model_folder(folder, run), "model.keras"), compile=False).get_weights()
    return history, info["best_epoch"], weights


def assert_same(first, second):
    assert first[:2] == second[:2]
    for one, other in zip(first[2], second[2], strict=True):
        np.testing.assert_array_equal(one, other)


def at_step(monkeypatch, step, action, method="on_step"):
    """Let something happen once so many steps are done, before a method of the trainer's."""
    original = getattr(trainer.Trainer, method)

    def looking(self):
        if self.state.done >= step:
            monkeypatch.setattr(trainer.Trainer, method, original)
            action()
        original(self)

    monkeypatch.setattr(trainer.Trainer, method, looking)


def terminated(monkeypatch, step, name, folder, datasets, number=signal.SIGTERM, method="on_step", **changes):
    """Train until a signal comes after a step; the exit code."""
    # One step a stretch.
    monkeypatch.setattr(trainer, "STRETCH_SECONDS", 0.0)
    at_step(monkeypatch, step, lambda: (os.kill(os.getpid(), number), time.sleep(0.1)), method)
    with pytest.raises(SystemExit) as stopped:
        train(name, folder, datasets, **changes)
    assert not Path(model_folder(folder)).exists()
    return stopped.value.code


def saved_states(folder):
    """What the checkpoints hold beside variables, the newest last."""
    import tensorflow as tf

    paths = sorted((folder / "checkpoints").rglob("*.sha256"), key=lambda path: int(path.stem.split("-")[1]))
    key = "state/.ATTRIBUTES/VARIABLE_VALUE"
    return [json.loads(tf.train.load_variable(str(path.with_suffix("")), key)) for path in paths]
