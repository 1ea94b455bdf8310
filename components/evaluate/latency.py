"""How long a model takes to answer."""

import time

import keras
import numpy as np
import tensorflow as tf

from components.evaluation import Latency

BATCHES = (1, 32, 512)
WARM_UP = 3
CALLS = 100
# Of a batch size; slow models are called less often than CALLS.
SECONDS = 0.3


def latencies(model: keras.Model, examples: dict[str, np.ndarray] | np.ndarray) -> list[Latency]:
    """Time the model as one compiled function, on inputs that are in memory, until its outputs are.

    Args:
        model: The model.
        examples: Its inputs; they are repeated where a batch is larger.
    """
    # Traced once, for every size of a batch.
    signature = tf.nest.map_structure(lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype), examples)

    @tf.function(input_signature=[signature], autograph=False)
    def call(batch: object) -> tf.Tensor:
        return model(batch, training=False)

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
