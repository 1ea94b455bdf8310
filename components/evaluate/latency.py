"""Measure the latency of a model."""

import time

import numpy as np
import tensorflow as tf

from components.artifacts.evaluation import Latency
from components.artifacts.model import Call

BATCHES = (1, 32, 512)
WARM_UP = 2
CALLS = 50
# The time after which a batch size isn't called again, so that slow models are called less often than CALLS.
SECONDS = 0.1


def latencies(call: Call, examples: dict[str, np.ndarray] | np.ndarray) -> list[Latency]:
    """Time a model, from inputs in memory to outputs in memory.

    Args:
        call: The model as a function.
        examples: The inputs. They are repeated where a batch is larger.
    """
    results = []
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
        results.append(
            Latency(batch=size, median_ms=1000 * median, p95_ms=1000 * p95, examples_per_second=size / float(median))
        )
    return results
