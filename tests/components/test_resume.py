"""A training that is stopped at any moment goes on to what an undisturbed one ends with, to the bit."""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from components.ingest.work import ingest
from components.train import resume, work
from components.train.checkpoint import Checkpoints

ROOT = Path(__file__).parent.parent.parent
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
        "hyperparameters": {"units": [16], "dropout": [0.3], "norm": True},
    },
    "lstm": {
        "family": "lstm",
        "dataset": "electricity",
        "epochs": 3,
        "ema": 0.9,
        "schedule": "cosine",
        "hyperparameters": {"units": 8, "patch": 12, "seasonal": True, "dropout": 0.2},
    },
}
STEPS = {"mlp": 11, "lstm": 9}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    for name, spec in DATASETS.items():
        ingest(name, json.dumps(spec), str(folder / name))
    return folder


def train(name, folder, datasets, code_version="x", **changes):
    spec = {**MODELS[name], **changes}
    work.train(name, json.dumps(spec), 1, code_version, str(datasets / spec["dataset"]), model_folder(folder))
    return result(folder)


def model_folder(folder):
    return str(folder / "run" / "train" / "model")


def result(folder):
    import keras

    info = json.loads(Path(model_folder(folder), "model.json").read_text())
    history = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in info["history"]]
    weights = keras.saving.load_model(Path(model_folder(folder), "model.keras"), compile=False).get_weights()
    return history, info["best_epoch"], weights


def assert_same(first, second):
    assert first[:2] == second[:2]
    for one, other in zip(first[2], second[2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def undisturbed(datasets, tmp_path_factory):
    return {name: train(name, tmp_path_factory.mktemp(name), datasets) for name in MODELS}


def at_step(monkeypatch, step, action):
    """Let something happen once so many steps are done."""
    look = resume.Resumable._look

    def looking(self):
        if self.done >= step:
            monkeypatch.setattr(resume.Resumable, "_look", look)
            action()
        look(self)

    monkeypatch.setattr(resume.Resumable, "_look", looking)


def terminated(monkeypatch, step, name, folder, datasets, **changes):
    """Train until SIGTERM comes after a step; the exit code."""
    # A step at a call.
    monkeypatch.setattr(resume, "CALL_SECONDS", 0.0)
    at_step(monkeypatch, step, lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.1)))
    with pytest.raises(SystemExit) as stopped:
        train(name, folder, datasets, **changes)
    assert not Path(model_folder(folder)).exists()
    return stopped.value.code


@pytest.mark.parametrize(("name", "step"), [("mlp", 2), ("mlp", 15), ("lstm", 12)])
def test_after_sigterm_it_goes_on_from_the_very_step(name, step, datasets, undisturbed, tmp_path, monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert terminated(monkeypatch, step, name, tmp_path, datasets) == 143
    assert signal.getsignal(signal.SIGTERM) == before
    place = f"step {step % STEPS[name]} of {STEPS[name]}"
    assert f"stopped by SIGTERM after {place} in epoch {step // STEPS[name] + 1}" in capsys.readouterr().out
    assert_same(train(name, tmp_path, datasets), undisturbed[name])
    assert f"going on from the checkpoint in epoch {step // STEPS[name] + 1}, {place}\n" in capsys.readouterr().out
    assert not list((tmp_path / "checkpoints").iterdir())


def test_at_an_epochs_end_the_validation_comes_first(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    assert terminated(monkeypatch, STEPS["mlp"], "mlp", tmp_path, datasets) == 143
    assert "epoch 1/3  accuracy" in capsys.readouterr().out
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    assert "going on from the checkpoint after epoch 1\n" in capsys.readouterr().out


def test_after_the_last_epoch_only_the_model_is_left_to_write(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    assert terminated(monkeypatch, 3 * STEPS["mlp"], "mlp", tmp_path, datasets) == 143
    capsys.readouterr()
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    assert "epoch 3/3" not in capsys.readouterr().out


def test_examples_that_are_streamed_go_on_in_mid_epoch(datasets, tmp_path, monkeypatch):
    from components import inputs

    monkeypatch.setattr(inputs, "CACHE_BYTES", 1)
    calm = train("mlp", tmp_path / "calm", datasets)
    assert terminated(monkeypatch, 15, "mlp", tmp_path / "stopped", datasets) == 143
    assert_same(train("mlp", tmp_path / "stopped", datasets), calm)


@pytest.mark.slow
def test_patience_and_the_best_weights_come_back(datasets, tmp_path, monkeypatch):
    changes = {"epochs": 30, "patience": 2, "learning_rate": 0.05}
    calm = train("mlp", tmp_path / "calm", datasets, **changes)
    best, epochs = calm[1], len(calm[0])
    assert best < epochs < 30
    # In the last epoch, when the best one is behind it.
    step = (epochs - 1) * STEPS["mlp"] + 3
    assert terminated(monkeypatch, step, "mlp", tmp_path / "stopped", datasets, **changes) == 143
    assert_same(train("mlp", tmp_path / "stopped", datasets, **changes), calm)


def test_the_seconds_are_those_of_both_parts(datasets, tmp_path, monkeypatch):
    assert terminated(monkeypatch, 5, "mlp", tmp_path, datasets) == 143
    (state,) = saved_states(tmp_path)[-1:]
    train("mlp", tmp_path, datasets)
    info = json.loads(Path(model_folder(tmp_path), "model.json").read_text())
    assert 0 < state["seconds"] < info["history"][0]["seconds"]


def saved_states(folder):
    """What the checkpoints hold beside variables, the newest last."""
    import tensorflow as tf

    paths = sorted((folder / "checkpoints").rglob("*.sha256"), key=lambda path: int(path.stem.split("-")[1]))
    key = "state/.ATTRIBUTES/VARIABLE_VALUE"
    return [json.loads(tf.train.load_variable(str(path.with_suffix("")), key)) for path in paths]


def test_what_determines_the_weights_names_the_checkpoints(datasets, tmp_path, monkeypatch, capsys):
    ingest("other", json.dumps({**DATASETS["fashion"], "validation": 0.1}), str(datasets / "other"))
    for step, change in ((5, {}), (4, {"dropout": 0.1}), (3, {"code_version": "y"}), (2, {"dataset": "other"})):
        if "dropout" in change:
            change = {"hyperparameters": {**MODELS["mlp"]["hyperparameters"], "dropout": [0.1]}}
        terminated(monkeypatch, step, "mlp", tmp_path, datasets, **change)
    assert "going on" not in capsys.readouterr().out
    terminated(monkeypatch, 7, "mlp", tmp_path, datasets, checkpoint_seconds=30.0)
    assert "going on from the checkpoint in epoch 1, step 5 of 11\n" in capsys.readouterr().out


# What may happen to a file.
def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def footer_flipped(path):
    """A length in the last bytes of the index that TensorFlow would take for as many bytes of memory."""
    content = bytearray(path.read_bytes())
    for i in range(len(content) - 48, len(content) - 40):
        content[i] |= 0x80
    path.write_bytes(content)


@pytest.fixture(scope="module")
def saved(datasets, tmp_path_factory):
    """A model with three checkpoints saved, of which two are kept."""
    from components.dataset import load_info
    from components.spec import ModelSpec
    from components.train.optimization import compile_model

    info, spec = load_info(datasets / "fashion"), ModelSpec(**MODELS["mlp"])
    model = work._build(spec, info, 1, "float32")
    compile_model(model, spec, info, 10)
    model.optimizer.build(model.trainable_variables)
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(str(folder), model)
    for number in (1, 2, 3):
        model.set_weights([np.full_like(weight, number) for weight in model.get_weights()])
        checkpoints.save({"number": number}, model.get_weights())
    assert sorted({path.name.split(".")[0] for path in folder.iterdir()}) == ["checkpoint-2", "checkpoint-3"]
    return model, folder


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001", "sha256"])
@pytest.mark.parametrize("damage", [torn, flipped, emptied, Path.unlink, footer_flipped])
def test_a_damaged_checkpoint_is_passed_over(ending, damage, saved, tmp_path, capsys):
    import shutil

    model, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    checkpoints = Checkpoints(str(tmp_path), model)
    assert checkpoints.newest() == 3
    assert capsys.readouterr().out == ""
    damage(tmp_path / f"checkpoint-3.{ending}")
    assert checkpoints.newest() == 2
    assert re.fullmatch(r"checkpoint 3 is (damaged|incomplete), trying the one before\n", capsys.readouterr().out)
    assert checkpoints.restore(2) == {"number": 2}
    assert (np.concatenate([w.ravel() for w in model.get_weights()]) == 2).all()
    # The number isn't used again, and what is left of it goes with the next save.
    checkpoints.save({"number": 4}, None)
    assert sorted({path.name.split(".")[0] for path in tmp_path.iterdir()}) == ["checkpoint-2", "checkpoint-4"]
    for path in tmp_path.glob("*.data*"):
        damage(path)
    assert checkpoints.newest() == 0
    assert capsys.readouterr().out.endswith("no whole checkpoint is left: training starts anew\n")


def test_a_deleted_checkpoint_is_missed(saved, tmp_path, capsys):
    import shutil

    model, folder = saved
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("checkpoint-3.*"):
        path.unlink()
    checkpoints = Checkpoints(str(tmp_path), model)
    assert checkpoints.newest() == 2
    assert capsys.readouterr().out == "checkpoint: of the last 2, only 2 is there\n"


def test_with_every_checkpoint_damaged_it_starts_anew(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    terminated(monkeypatch, 15, "mlp", tmp_path, datasets)
    assert [state["done"] for state in saved_states(tmp_path)] == [11, 15]
    for path in (tmp_path / "checkpoints").rglob("*.index"):
        flipped(path)
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    said = capsys.readouterr().out
    assert "training starts anew" in said
    assert "going on" not in said


@contextlib.contextmanager
def small_files(size):
    """No file may grow beyond a size: writes fail as on a full disk, without root's rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_grow_leaves_the_checkpoint_before(saved, tmp_path):
    model, _ = saved
    checkpoints = Checkpoints(str(tmp_path), model)
    checkpoints.save({"number": 1}, None)
    with (
        small_files(20_000),
        pytest.raises(RuntimeError, match=r"checkpoint 2 can't be saved, the one before is whole"),
    ):
        checkpoints.save({"number": 2}, None)
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"checkpoint-1"}
    assert checkpoints.newest() == 1
    checkpoints.save({"number": 2}, None)
    assert checkpoints.newest() == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for one checkpoint of the MLP and a half."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_full_disk_is_one_line_and_can_be_gone_on_from(datasets, undisturbed, small_disk, capsys):
    with pytest.raises(RuntimeError) as failed:
        train("mlp", small_disk, datasets, checkpoint_seconds=0.0)
    assert re.search(r"checkpoint \d+ can't be saved, the one before is whole: .*[Nn]o space left", str(failed.value))
    assert "\n" not in str(failed.value)
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    capsys.readouterr()
    assert_same(train("mlp", small_disk, datasets), undisturbed["mlp"])
    said = capsys.readouterr().out
    assert "going on from the checkpoint in epoch 1" in said
    assert "damaged" not in said


DIVERGING = {"optimizer": "sgd", "schedule": "constant", "ema": None, "hyperparameters": {"units": 8, "patch": 12}}


def test_a_loss_that_is_nan_stops_the_training_at_its_step(datasets, tmp_path, capsys):
    said = []
    for seconds in (0.0, 60.0):
        with pytest.raises(RuntimeError) as failed:
            train("lstm", tmp_path, datasets, **DIVERGING, learning_rate=8.0, checkpoint_seconds=seconds)
        said.append(str(failed.value))
    # One step at a call, from the first on; then many, from the last good checkpoint on.
    assert said[0] == said[1]
    match = re.fullmatch(
        r"the loss is NaN or infinite at step (\d+) of 9 in epoch (\d+); the checkpoints from before are kept", said[0]
    )
    assert match, said[0]
    done = (int(match[2]) - 1) * 9 + int(match[1]) - 1
    assert "going on from the checkpoint" in capsys.readouterr().out
    assert saved_states(tmp_path)[-1]["done"] in (done, done - 1)
    assert not Path(model_folder(tmp_path)).exists()


def test_on_nan_it_goes_back_three_times_and_remembers_it(datasets, tmp_path, capsys):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after 3 rollbacks; the checkpoints from before are kept"):
            train("lstm", tmp_path, datasets, **DIVERGING, learning_rate=1e6, on_nan="rollback")
        said = capsys.readouterr().out
    # The second start found all three used.
    assert "rollback 1 of 3" not in said
    assert saved_states(tmp_path)[-1]["rollbacks"] == 3


def test_with_half_the_rate_it_ends(datasets, tmp_path, capsys):
    with pytest.raises(RuntimeError, match="the loss is NaN"):
        train("lstm", tmp_path / "fail", datasets, **DIVERGING, learning_rate=2.0)
    history, _, weights = train("lstm", tmp_path, datasets, **DIVERGING, learning_rate=2.0, on_nan="rollback")
    assert "rollback 1 of 3, half the learning rate" in capsys.readouterr().out
    assert len(history) == 3
    assert all(np.isfinite(weight).all() for weight in weights)


def test_the_choice_to_roll_back_changes_no_weight(datasets, undisturbed, tmp_path):
    for name in MODELS:
        assert_same(train(name, tmp_path / name, datasets, on_nan="rollback"), undisturbed[name])


def test_a_call_that_outlasts_sigterm_is_ended():
    """Without TensorFlow: what is called doesn't matter."""
    code = (
        "import time\n"
        "from components.train import termination\n"
        "termination.GRACE_SECONDS = 0.5\n"
        "with termination.Termination():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate(timeout=30)[0] == "stopped by SIGTERM before a checkpoint could be saved\n"
    assert process.returncode == 143


def torture(*arguments):
    command = [sys.executable, "tests/benchmarks/torture.py", "--seed", "1", *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        errors.seek(0)
        assert done.returncode == 0, done.stdout[-5000:] + errors.read()[-2000:]
    summary = done.stdout.splitlines()[-1]
    kills, resumes, mismatches = re.fullmatch(r"(\d+) kills \(.*\), (\d+) resumes, (\d+) mismatches", summary).groups()
    assert mismatches == "0"
    return int(kills), int(resumes)


def test_a_training_that_is_killed_again_and_again_ends_with_the_same():
    kills, resumes = torture("--kills", "6", "--models", "mlp", "lstm", "--devices", "one")
    assert kills >= 6
    assert resumes


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["one", "two", "workers"])
def test_every_family_survives_kills(devices):
    kills, resumes = torture("--kills", "16", "--devices", devices)
    assert kills >= 16
    assert resumes
