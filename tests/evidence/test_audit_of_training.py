"""An audit trains some steps again, and finds checkpoints and histories that no training gave."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from proofs import change_arrays, change_json, failing, flipped, lied, put_together, taken_apart

from components.artifacts.model import ModelInfo


def test_a_checkpoint_that_is_left_out(made, tmp_path):
    """Whoever trains can't choose what an audit may look at."""
    found = lied(made, tmp_path, lambda folder: shutil.rmtree(folder / "checkpoints" / str(another(folder))))
    assert found.keys() == {"training", "model"}
    assert "by the seed they are" in found["training"]


def another(folder):
    """A kept step that isn't the start, nor the one before the best epoch's end."""
    others = (0, tail_of(folder))
    return next(int(p.name) for p in sorted((folder / "checkpoints").iterdir()) if int(p.name) not in others)


def tail_of(folder):
    """The kept step before the best epoch's end."""
    from components.train.kept import tail

    return tail(ModelInfo.load(folder).best_epoch - 1, 11)


def mark(folder):
    """Write the digest of a checkpoint's files that it has itself."""
    (written,) = folder.glob("*.sha256")
    digest = hashlib.sha256()
    for path in sorted(folder.glob("checkpoint-*")):
        if path != written:
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    written.write_text(digest.hexdigest())


def data_of(made):
    """The ingested data of the run."""
    return next((made.folder / "runs/small/.work/outputs/tasks").glob("ingest-fashion-*/dataset"))


def forge(made, folder, step, change):
    """Write a kept checkpoint anew; `change` gives its state, of the state and of the weights of its best epoch.

    Returns:
        The weights of its model.
    """
    from components.artifacts.dataset import load_info
    from components.train.checkpoint import Checkpoints
    from components.train.devices import find_devices
    from components.train.shared_batches import SharedBatches
    from components.train.train import build_compiled

    spec, dataset, devices = ModelInfo.load(folder).spec, data_of(made), find_devices()
    info = load_info(dataset)
    batches = SharedBatches("small_mlp", spec, str(dataset), info, 3, devices)
    model, _ = build_compiled(spec, info, 3, "float32", batches, devices)
    checkpoints = Checkpoints(str(folder / "checkpoints" / str(step)), model)
    checkpoints.save(change(checkpoints.restore(checkpoints.newest()), checkpoints.best))
    return model.get_weights()


def test_a_checkpoint_that_trains_no_step(made, tmp_path):
    """Its patience is over at once, and the weights after it are its own."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    weights = forge(made, folder, step, lambda state, best: {**state, "best_epoch": -1_000_000})
    np.savez(folder / f"checkpoints/{step}/after.npz", *weights)
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found.keys() == {"training"}
    assert "its checkpoint has best epoch -999999, by the history it is " in found["training"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "more": 1}, "unexpected keyword argument 'more'"),
        (lambda state: {**state, "history": 3}, "its checkpoint's state.history: Input should be a valid array"),
        (
            lambda state: {**state, "best_epoch": True},
            "its checkpoint's state.best_epoch: Input should be a valid integer",
        ),
        (lambda state: [], "its checkpoint's state: Input should be an object"),
        (lambda state: {**state, "history": state["history"][:-1]}, "other metrics of epochs than the model's"),
        (lambda state: {**state, "rollbacks": 1}, "its checkpoint has 1 rollbacks, expected none"),
        (lambda state: {**state, "metrics": None}, "sums of metrics that aren't those of one replica"),
        (lambda state: {**state, "metrics": [[0.0] * 4] * 2}, "sums of metrics that aren't those of one replica"),
        (lambda state: {**state, "metrics": [[0.0]]}, "step"),
    ],
)
def test_a_checkpoint_with_another_state(change, message, made, tmp_path):
    """The audit goes on, and says what it found before and after it."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    assert step % 11, "within an epoch"
    forge(made, folder, step, lambda state, best: change(state))
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found.keys() == {"training"}
    assert found["training"].startswith(f"step {step}: ") and "\n" not in found["training"]
    assert message in found["training"]


def test_a_checkpoint_whose_number_is_no_float(made, tmp_path):
    """The trainer would take the one whose number is the nearest float."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    for path in (folder / "checkpoints" / str(step)).glob("checkpoint-*"):
        path.rename(path.with_name(f"checkpoint-{2**53 + 1}.{path.name.partition('.')[2]}"))
    mark(folder / "checkpoints" / str(step))
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found == {"training": f"step {step}: its checkpoint is damaged"}


@pytest.mark.parametrize("marked", [True, False])
def test_a_changed_checkpoint(marked, made, tmp_path):
    """Its own digest was computed again, or not."""
    folder = taken_apart(made.proof, tmp_path / "proof")
    step = another(folder)
    (data,) = (folder / "checkpoints" / str(step)).glob("*.data*")
    flipped(data)
    if marked:
        mark(data.parent)
    found = failing(made, put_together(folder, tmp_path / "lie", made.own), step)
    assert found.keys() == {"training"}
    assert f"step {step}: its checkpoint" in found["training"] if not marked else "step" in found["training"]


def test_changed_weights_after_a_checkpoint(made, tmp_path):
    def nudge(arrays):
        arrays["arr_0"][0, 0] = np.nextafter(arrays["arr_0"][0, 0], np.float32(9))

    found = lied(made, tmp_path, lambda folder: change_arrays(folder / "checkpoints/0/after.npz", nudge))
    assert found.keys() == {"training"}
    assert "of their way off, expected the same bits on this CPU" in found["training"]


def never_trained(made, folder):
    """Other weights, whose temperature, predictions and metrics are right; returns the weights of the best epoch."""
    from components.artifacts.dataset import load_info
    from components.artifacts.model import compiled
    from components.data import input_pipeline
    from components.metrics import bootstrap, metrics
    from components.train.train import finished

    dataset, spec = data_of(made), ModelInfo.load(folder).spec
    info, last = load_info(dataset), tail_of(folder)
    weights = []

    def read(state, best):
        weights.extend(weight.numpy() * np.float32(1.01) for weight in best)
        return state

    forge(made, folder, last, read)
    model, temperature = finished(weights, spec, info, 3, str(dataset))
    model.save(folder / "model.keras")
    change_json(folder / "model.json", "temperature", to=lambda old: temperature.model_dump(mode="json"))
    call = compiled(model, info)
    answered = [(call(x).numpy(), y.numpy()) for x, y in input_pipeline.sequential_batches(dataset, info, "test", 512)]
    prediction, target = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    np.savez(folder / "predictions.npz", target=target, prediction=prediction)
    measured = (info.task, target, prediction)
    board = json.loads((folder / "leaderboard.json").read_text())
    entry = next(entry for entry in board["models"] if entry["model"] == "small_mlp")
    entry["metrics"] = metrics.measure(*measured)
    entry["intervals"] = bootstrap.intervals(metrics.resampled(*measured), len(target), 3, 1)
    (folder / "leaderboard.json").write_text(json.dumps(board))
    return weights


def test_a_model_that_fits_its_own_figures_and_was_never_trained_so(made, tmp_path):
    """Weights, predictions and leaderboard agree with each other: only the training tells."""
    found = lied(made, tmp_path, lambda folder: never_trained(made, folder))
    assert found.keys() == {"model"}, found


def best_of_all(state):
    state["history"][0]["val_accuracy"] = 2.0
    return {**state, "best_epoch": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "best_epoch": -1_000_000}, "its checkpoint has best epoch -999999, by the history it"),
        (best_of_all, "its checkpoint has other metrics of epochs than the model's history has"),
    ],
)
def test_a_checkpoint_that_says_what_the_best_weights_are(change, message, made, tmp_path):
    """No epoch that is trained again is better, and the model's weights are those that the file calls the best."""

    def forged(folder):
        weights = never_trained(made, folder)

        def write(state, best):
            for variable, weight in zip(best, weights, strict=True):
                variable.assign(weight)
            return change(state)

        forge(made, folder, tail_of(folder), write)

    found = lied(made, tmp_path, forged)
    assert found.keys() == {"model"}
    assert message in found["model"]


def test_a_history_in_which_an_earlier_epoch_was_the_best(made, tmp_path):
    """The checkpoint agrees with the model, and so the epoch that is trained again isn't the best one."""

    def forged(folder):
        def write(state, best):
            return best_of_all(state)

        forge(made, folder, tail_of(folder), write)
        change_json(folder / "model.json", "history", 0, "val_accuracy", to=lambda value: 2.0)

    found = lied(made, tmp_path, forged)
    assert found.keys() == {"config", "training", "model"}
    assert found["config"].startswith("the best epoch, and the history's: ") and found["config"].endswith(" and 1")
    assert "trained again, epoch 1 is the best, expected epoch " in found["model"]


def test_another_best_epoch(made, tmp_path):
    def change(folder):
        change_json(folder / "model.json", "best_epoch", to=lambda epoch: 1)
        board = json.loads((folder / "leaderboard.json").read_text())
        for entry in board["models"]:
            entry["best_epoch"] = 1
        (folder / "leaderboard.json").write_text(json.dumps(board))

    found = lied(made, tmp_path, change)
    assert found["config"].startswith("the best epoch, and the history's: 1 and ")


def test_more_epochs_than_the_config_has(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "epochs", to=lambda epochs: 20)
        change_json(folder / "model.json", "spec", "epochs", to=lambda epochs: 20)

    assert lied(made, tmp_path, change)["config"].startswith("the epochs, and the config's epochs and patience: 24 and")


def test_more_epochs_than_the_patience_allows(made, tmp_path):
    def change(folder):
        change_json(folder / "proof.json", "config", "models", "small_mlp", "patience", to=lambda none: 1)
        change_json(folder / "model.json", "spec", "patience", to=lambda none: 1)

    found = lied(made, tmp_path, change)
    assert found["config"].startswith("the epochs, and the config's epochs and patience: 24 and")
    assert found["training"].startswith("step 0: trained again it ends at step ")
    assert found["training"].endswith(", expected 200")
