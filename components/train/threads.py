"""The number of threads that an operation of a training uses on a CPU. The last bits of weights depend on it.

Threads share the sums of a convolution's gradients (of filters and biases) and of batch normalization over images, and
two of them add in another order than one (oneDNN's and Eigen's kernels, TensorFlow 2.20). Products of matrices, and
convolutions themselves, gave the same bits with 1, 2 and 4 threads.
"""

import contextlib
import os
import platform
from pathlib import Path

import tensorflow as tf


def use_threads(number: int | None) -> None:
    """Let an operation use so many threads; None for all cores.

    TensorFlow takes it only before its first operation. A process that has trained before keeps what it has.
    """
    if number:
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(number)


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
