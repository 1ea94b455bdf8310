"""Two functions of Keras, mended so that `fit` works with several workers.

Keras 3's `fit` fails under MultiWorkerMirroredStrategy (github.com/keras-team/keras/issues/20585): before training it
builds the model from a batch that it averages over the replicas of all workers, and after each step it averages
scalars along an axis that scalars don't have. Both are functions of its TensorFlow trainer. With them replaced,
losses and weights of two workers are those of a single process. Written for Keras 3.15.1, which the lock file pins;
it can go when the issue is closed.
"""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer

_keras_reduce = trainer.reduce_per_replica


def mend_keras() -> None:
    """Replace the two functions, for this process."""
    trainer.reduce_per_replica = _reduce_per_replica
    trainer.TensorFlowTrainer._maybe_symbolic_build = _symbolic_build


def _reduce_per_replica(values: Any, strategy: tf.distribute.Strategy, reduction: str) -> Any:  # noqa: ANN401
    """This worker's own scalars of a step's metrics: those of the epoch are made of all workers' sums at its end.

    To ask the other workers at each step, as Keras means to, is time for nothing.
    """
    if reduction != "auto" or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return _keras_reduce(values, strategy, reduction)
    return keras.tree.map_structure(lambda value: strategy.experimental_local_results(value)[0], values)


def _symbolic_build(
    self: keras.Model,
    iterator: Iterable[Any] | None = None,
    data_batch: Any = None,  # noqa: ANN401
) -> None:
    """Build the metrics from this worker's part of a batch: shapes are all that matters."""
    strategy = self.distribute_strategy
    if iterator is not None:
        _, _, batches = next(iter(iterator))
        distributed = next(batches)
        data_batch = keras.tree.map_structure(lambda v: strategy.experimental_local_results(v)[0], distributed)
    with strategy.scope():
        self._symbolic_build(data_batch=data_batch)
