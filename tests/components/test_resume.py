"""A training that is stopped at any moment goes on to what an undisturbed one ends with, to the bit."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from trainings import DATASETS, MODELS, STEPS, assert_same, model_folder, terminated, train

from components.artifacts.model import ModelInfo
from components.ingest.ingest import ingest
from components.train import train as train_step
from components.train import trainer

ROOT = Path(__file__).parent.parent.parent


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


def test_after_sighup_it_goes_on_too(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    before = signal.getsignal(signal.SIGHUP)
    assert terminated(monkeypatch, 2, "mlp", tmp_path, datasets, number=signal.SIGHUP) == 129
    assert signal.getsignal(signal.SIGHUP) == before
    assert "stopped by SIGHUP after step 2 of 11 in epoch 1" in capsys.readouterr().out
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])


def test_at_an_epochs_end_the_validation_comes_first(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    assert terminated(monkeypatch, STEPS["mlp"], "mlp", tmp_path, datasets, method="end_epoch") == 143
    assert "epoch 1/3  accuracy" in capsys.readouterr().out
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    assert "going on from the checkpoint after epoch 1\n" in capsys.readouterr().out


def test_after_the_last_epoch_only_the_model_is_left_to_write(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    assert terminated(monkeypatch, 3 * STEPS["mlp"], "mlp", tmp_path, datasets) == 143
    capsys.readouterr()
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    assert "epoch 3/3" not in capsys.readouterr().out


def test_examples_that_are_streamed_go_on_in_mid_epoch(datasets, tmp_path, monkeypatch):
    from components.data import input_pipeline

    monkeypatch.setattr(input_pipeline, "CACHE_BYTES", 1)
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
    with monkeypatch.context() as slow:
        clock = SimpleNamespace(monotonic=lambda: 1e6 * time.monotonic(), perf_counter=time.perf_counter)
        slow.setattr(trainer, "time", clock)
        assert terminated(monkeypatch, 5, "mlp", tmp_path, datasets) == 143
    train("mlp", tmp_path, datasets)
    info = json.loads(Path(model_folder(tmp_path), "model.json").read_text(encoding="utf-8"))
    first, second, _ = [epoch["seconds"] for epoch in info["history"]]
    assert first > 1000 > second > 0
    assert info["train_seconds"] > 1000


def test_what_determines_the_weights_names_the_checkpoints(datasets, tmp_path, monkeypatch, capsys):
    ingest("other", json.dumps({**DATASETS["fashion"], "validation": 0.1}), str(datasets / "other"))
    for step, change in ((5, {}), (4, {"dropout": 0.1}), (3, {"code_version": "y"}), (2, {"dataset": "other"})):
        if "dropout" in change:
            change = {"hyperparameters": {**MODELS["mlp"]["hyperparameters"], "dropout": [0.1]}}
        terminated(monkeypatch, step, "mlp", tmp_path, datasets, **change)
    assert "going on" not in capsys.readouterr().out
    terminated(monkeypatch, 7, "mlp", tmp_path, datasets, checkpoint_seconds=30.0)
    assert "going on from the checkpoint in epoch 1, step 5 of 11\n" in capsys.readouterr().out


def test_other_threads_begin_anew_and_the_model_says_its_machine(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as other:
        other.setattr(train_step, "threads", lambda: 64)
        terminated(other, 5, "mlp", tmp_path, datasets)
    assert_same(train("mlp", tmp_path, datasets), undisturbed["mlp"])
    assert "going on" not in capsys.readouterr().out
    info = ModelInfo.load(model_folder(tmp_path))
    assert (info.machine.cores, info.machine.devices) == (len(os.sched_getaffinity(0)), "the CPU")
    assert info.machine.cpu


IN_A_CALL = """
import signal, sys, time
from components.train import termination
termination.GRACE_SECONDS = 0.5
if sys.argv[1:] == ["nohup"]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with termination.Termination():
    print("ready", flush=True)
    time.sleep(60 if not sys.argv[1:] else 1)
"""


def in_a_call(*arguments):
    """A process that a call of TensorFlow's keeps, as far as signals go."""
    command = [sys.executable, "-c", IN_A_CALL, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_call_that_outlasts_a_signal_is_ended(number, code):
    process = in_a_call()
    process.send_signal(number)
    said = f"stopped by {number.name} before a checkpoint could be saved; the last one is whole\n"
    assert process.communicate(timeout=30)[0] == said
    assert process.returncode == code


def test_nohup_is_heeded():
    process = in_a_call("nohup")
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == 0


def torture(*arguments):
    command = [sys.executable, "tests/benchmarks/torture.py", "--seed", "1", *arguments]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        errors.seek(0)
        assert done.returncode == 0, done.stdout[-5000:] + errors.read()[-2000:]
    summary = done.stdout.splitlines()[-1]
    kills, resumes, mismatches = re.fullmatch(r"(\d+) kills \(.*\), (\d+) resumes, (\d+) mismatches", summary).groups()
    assert mismatches == "0"
    return int(kills), int(resumes)


# On several devices: these have all that has a state of its own. test_distribution.py trains every family there.
STATES = ("--models", "cnn", "lstm", "streamed")


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "least", "models"), [("one", 8, ()), ("two", 6, STATES), ("workers", 6, STATES)])
def test_every_family_survives_kills(devices, least, models):
    kills, resumes = torture("--kills", str(least), "--devices", devices, *models)
    assert kills >= least
    assert resumes
