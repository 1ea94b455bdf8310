"""How long a model takes to answer."""

import time

import numpy as np
import tensorflow as tf

from components.artifacts.evaluation import Latency
from components.artifacts.model import Call

BATCHES = (1, 32, 512)
WARM_UP = 2
CALLS = 50
# Of a batch size; slow models are called less often than CALLS.
SECONDS = 0.1


def latencies(call: Call, examples: dict[str, np.ndarray] | np.ndarray) -> list[Latency]:
    """Time a model on inputs that are in memory, until its outputs are.

    Args:
        call: The model, compiled.
        examples: Its inputs; they are repeated where a batch is larger.
    """
    found = []
    for size in BATCHES:
        batch = tf.nest.map_structure(lambda x, n=size: tf.constant(np.resize(x, (n, *x.shape[1:]))), examples)
        for _ in range(WARM_UP):
            call(batch).numpy()
        seconds: list[float] = []
        while len(seconds) < CALLS and sum(seconds) < SECONDS:
            start = time.perf_counter()
            call(batch).numpy()
            seconds.append(time.perf_counter() - start)
        median, p95 = np.quantile(seconds, (0.5, 0.95))
        found.append(
            Latency(batch=size, median_ms=1000 * median, p95_ms=1000 * p95, examples_per_second=size / float(median))
        )
    return found
