"""How many threads an operation of a training uses on a CPU."""

import contextlib
import os

import tensorflow as tf

from components.dataset import DatasetInfo
from components.spec import ModelSpec, load_family

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
    if not hasattr(family, "largest_matrix") or (os.cpu_count() or 1) > MEASURED_CORES:
        return
    hyperparameters = family.Hyperparameters.model_validate(spec.hyperparameters)
    if 2 * spec.batch_size * family.largest_matrix(info, hyperparameters) <= SMALL_PRODUCT:
        # TensorFlow takes it only before its first operation; a process that has trained before keeps what it has.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)
