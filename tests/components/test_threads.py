"""The threads of an operation: a config's number, and what depends on it."""

import json
import os
import platform
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
import tensorflow as tf
import trainings
_, _, weights = trainings.train("mlp", Path(sys.argv[1]), Path(sys.argv[2]), **__import__("json").loads(sys.argv[3]))
import hashlib
print(tf.config.threading.get_intra_op_parallelism_threads(), hashlib.sha256(b"".join(map(bytes, weights))).hexdigest())
"""


def trained(folder, datasets, **changes):
    """The threads of a training in a process of its own, 0 for all cores, and the digest of its weights."""
    command = [sys.executable, "-c", PROCESS, str(folder), str(datasets), json.dumps(changes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.slow
def test_an_mlp_has_the_same_weights_with_one_thread(datasets, tmp_path):
    one, all_cores = trained(tmp_path / "1", datasets, threads=1), trained(tmp_path / "2", datasets)
    assert (one[0], all_cores[0]) == ("1", "0")
    assert one[1] == all_cores[1]


def test_a_process_that_has_computed_keeps_its_threads(datasets, tmp_path):
    train("mlp", tmp_path / "before", datasets, epochs=1)
    history, _, _ = train("mlp", tmp_path / "after", datasets, epochs=1, threads=1)
    assert len(history) == 1


SAME_BITS = """
import os, sys, hashlib
allowed, configured = map(int, sys.argv[1:])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:allowed])
import numpy as np, tensorflow as tf
from components.train import threads
if configured:
    tf.config.threading.set_intra_op_parallelism_threads(configured)
g = np.random.default_rng(0)
x, dy = (tf.constant(g.normal(size=(126, 28, 28, 32)), tf.float32) for _ in range(2))
filters = tf.raw_ops.Conv2DBackpropFilter(
    input=x, filter_sizes=[3, 3, 32, 32], out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
)
biases = tf.raw_ops.BiasAddGrad(out_backprop=dy)
print(threads.threads(), hashlib.sha256(filters.numpy().tobytes() + biases.numpy().tobytes()).hexdigest())
"""


def gradients(allowed, configured=0, **environment):
    """Threads of an operation as this package counts them, and the digest of a convolution's gradients."""
    command = [sys.executable, "-c", SAME_BITS, str(allowed), str(configured)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(threads.cores() < 2, reason="needs two cores")
def test_the_same_bits_come_from_the_same_number_of_threads():
    one = gradients(1)
    assert one[0] == "1"
    assert gradients(2, configured=1) == one
    assert gradients(2, TF_NUM_INTRAOP_THREADS="1") == one
    assert gradients(1, configured=2) == gradients(2)
    assert gradients(2) != one, (
        "then one thread or two give the same weights, and the checkpoint's key needs no threads"
    )


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="is for x86")
def test_onednn_is_on_where_the_user_says_nothing_else():
    command = [sys.executable, "-c", "import components, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"]
    others = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    for own, expected in (({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")):
        env = {**others, **own, "PYTHONPATH": str(ROOT)}
        found = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
        assert found == f"{expected}\n"


def test_a_gpu_has_deterministic_kernels(monkeypatch):
    import tensorflow as tf

    from components.train.devices import find_devices

    asked = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a device"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [])
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    assert find_devices.__wrapped__().accelerator
    assert asked == [True]
