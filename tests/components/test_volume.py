"""What Kubeflow's pods share is a volume: one takes over from another, and two that come at once wait."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trainings import MODELS, assert_same, at_step, model_folder, result

from components.train import trainer
from components.train.place import train_there
from components.vertex import cloud_storage

ROOT = Path(__file__).parent.parent.parent
HOLD = "import sys; from pathlib import Path; from components.common.files import locked"


def arguments(pod, volume, datasets):
    spec = MODELS["mlp"]
    return ["mlp", json.dumps(spec), 1, "x", str(datasets / spec["dataset"]), model_folder(pod), "{}", "", str(volume)]


def test_a_checkpoint_outlives_its_pod(datasets, undisturbed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "STRETCH_SECONDS", 0.0)
    at_step(monkeypatch, 15, lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.1)))
    first, second, volume = tmp_path / "first", tmp_path / "second", tmp_path / "volume"
    with pytest.raises(SystemExit) as stopped:
        train_there(*arguments(first, volume, datasets))
    assert stopped.value.code == 143
    shutil.rmtree(first, ignore_errors=True)
    train_there(*arguments(second, volume, datasets))
    assert "going on from the checkpoint in epoch 2" in capsys.readouterr().out
    assert_same(result(second), undisturbed["mlp"])
    assert not list(volume.iterdir())


def process(code, argument):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, argument], cwd=ROOT, text=True, **pipes)


def test_a_lock_goes_with_the_process_that_held_it(tmp_path):
    code = f"{HOLD}\nwith locked(Path(sys.argv[1]), 'busy'):\n    print('mine', flush=True); sys.stdin.read()"
    lock = str(tmp_path / "folder" / ".lock")
    first = process(code, lock)
    assert first.stdout.readline() == "mine\n"
    second = process(code, lock)
    assert second.stdout.readline() == "busy\n"
    first.kill()
    first.communicate()
    assert second.communicate(timeout=60)[0] == "mine\n"


@pytest.mark.slow
def test_two_trainings_at_once_both_end_with_the_right_weights(datasets, undisturbed, tmp_path):
    code = "import json, sys; from components.train.place import train_there; train_there(*json.loads(sys.argv[1]))"
    pods = [tmp_path / "first", tmp_path / "second"]
    running = [process(code, json.dumps(arguments(pod, tmp_path / "volume", datasets))) for pod in pods]
    said = [one.communicate(timeout=300)[0] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    assert sum(": another run trains it" in text for text in said) == 1
    for pod in pods:
        assert_same(result(pod), undisturbed["mlp"])


def test_a_folder_of_the_launcher_is_not_taken_for_a_bucket(cloud, tmp_path, monkeypatch):
    """Kubeflow's launcher makes /gcs/<bucket>/… on the pod's disk for the task's own artifacts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cloud_storage, "MOUNT", tmp_path / "gcs")
    (tmp_path / "gcs" / "bucket" / "artifacts").mkdir(parents=True)
    cloud.put("gs://bucket/sales.csv", "day,units\n")
    cloud_storage.local_path.cache_clear()
    assert cloud_storage.local_path("gs://bucket/sales.csv").read_text() == "day,units\n"
    cloud_storage.local_path.cache_clear()
