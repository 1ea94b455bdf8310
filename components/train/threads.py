"""How many threads an operation of a training uses on a CPU: the last bits of its weights depend on it.

Threads share the sums of a convolution's gradients (of filters and biases) and of batch normalization over images, and
two of them add in another order than one (oneDNN's and Eigen's kernels, TensorFlow 2.20). Products of matrices, and
convolutions themselves, gave the same bits with 1, 2 and 4 threads.
"""

import contextlib
import os
import platform
from pathlib import Path

import tensorflow as tf

from components.artifacts.dataset import DatasetInfo
from components.common.spec import ModelSpec
from components.families import load_family

# Products of matrices that take fewer operations than this gained nothing by a second thread on 2 cores, and lost a
# fifth of their time to handing parts of them over (docs/performance.md). More cores were not measured.
SMALL_PRODUCT = 100e6
MEASURED_CORES = 2


def choose_threads(spec: ModelSpec, info: DatasetInfo) -> None:
    """Let operations use one thread where a family says that its matrices are small.

    A family says it by a function `largest_matrix(info, hyperparameters)`, the weights of its largest matrix; it may
    have none. Weights after training were equal to the bit with one thread and with two.

    Args:
        spec: The model.
        info: The data set.
    """
    family = load_family(spec.family)
    if not family.largest_matrix or cores() > MEASURED_CORES:
        return
    hyperparameters = family.Hyperparameters.model_validate(spec.hyperparameters)
    if 2 * spec.batch_size * family.largest_matrix(info, hyperparameters) <= SMALL_PRODUCT:
        # TensorFlow takes it only before its first operation; a process that has trained before keeps what it has.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)


def threads() -> int:
    """The threads of an operation, as TensorFlow counts them (tensorflow/core/common_runtime/process_util.cc)."""
    named = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return tf.config.threading.get_intra_op_parallelism_threads() or (int(named) if named.isdecimal() else 0) or cores()


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu() -> str:
    """The CPU's name: "Intel(R) Xeon(R) Processor @ 2.20GHz"."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
