"""Small matrices are multiplied by one thread, and nothing but time depends on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trainings import train

from components.train import threads

ROOT = Path(__file__).parent.parent.parent
PROCESS = """
import sys
sys.path[:0] = ["tests/components", "."]
from pathlib import Path
from components.train import threads
threads.MEASURED_CORES = int(sys.argv[1])
import tensorflow as tf
import trainings
_, _, weights = trainings.train("mlp", Path(sys.argv[2]), Path(sys.argv[3]), **__import__("json").loads(sys.argv[4]))
import hashlib
print(tf.config.threading.get_intra_op_parallelism_threads(), hashlib.sha256(b"".join(map(bytes, weights))).hexdigest())
"""


def trained(folder, datasets, cores, **changes):
    command = [sys.executable, "-c", PROCESS, str(cores), str(folder), str(datasets), json.dumps(changes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.slow
def test_one_thread_for_small_matrices_and_the_same_weights(datasets, tmp_path):
    cores = os.cpu_count()
    one, several = trained(tmp_path / "1", datasets, cores), trained(tmp_path / "2", datasets, cores - 1)
    assert (one[0], several[0]) == ("1", "0")
    assert one[1] == several[1]
    wide = {"epochs": 1, "hyperparameters": {"units": [4096]}}
    assert trained(tmp_path / "3", datasets, cores, **wide)[0] == "0"


def test_a_process_that_has_computed_keeps_its_threads(datasets, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "MEASURED_CORES", os.cpu_count())
    train("mlp", tmp_path / "before", datasets, epochs=1)
    history, _, _ = train("mlp", tmp_path / "after", datasets, epochs=1, hyperparameters={"units": [8]})
    assert len(history) == 1
