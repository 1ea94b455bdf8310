"""The train function of `fit`: so many steps in one call, and the metrics that they add up to."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from components.train.devices import Devices

# On a TPU; more gain little.
MAX_STEPS_PER_CALL = 50

# Runs steps on the iterator's next batches; gives how many it ran, and the metrics of the epoch so far.
Advance = Callable[[Iterator[Any], int], tuple[int, dict[str, Any]]]


def steps_per_call(per_epoch: int, devices: Devices) -> int:
    """Steps of a call of the train function, between which nobody is heard.

    On one device all of an epoch's, of which `make_advance` does as many at a time as it is asked for. An MLP's 580
    in calls of 29 took 5 % more time.
    """
    if not devices.distributed:
        return per_epoch
    if not devices.tpu:
        return 1  # more fail under MirroredStrategy (Keras 3.15.1)
    # Keras runs past the epoch's end with a number that doesn't divide it.
    return max(steps for steps in range(1, MAX_STEPS_PER_CALL + 1) if per_epoch % steps == 0)


def make_advance(model: keras.Model, devices: Devices) -> Advance:
    """A function that runs any number of steps in one call, and stops at the first whose loss isn't finite.

    Keras' own runs `steps_per_execution` at once, whether they take a second or a minute; nobody is heard meanwhile.
    With a strategy its own is what works, and a call runs `steps_per_execution` steps.
    """
    if devices.distributed:
        model.make_train_function(force=True)
        several = model.train_function

        def advance(iterator: Iterator[Any], count: int) -> tuple[int, dict[str, Any]]:
            return model.steps_per_execution, several(iterator)

        return advance

    step = tf.function(model.train_step, reduce_retracing=True, autograph=False)

    @tf.function(reduce_retracing=True, autograph=False)
    def steps(iterator: Iterator[Any], count: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        def go_on(done: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(done < count, tf.math.is_finite(loss))

        def one(done: tf.Tensor, loss: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return done + 1, tf.cast(step(next(iterator))["loss"], tf.float32)

        done, _ = tf.while_loop(go_on, one, (tf.constant(0), tf.constant(0.0)))
        return done, model.get_metrics_result()

    def advance_alone(iterator: Iterator[Any], count: int) -> tuple[int, dict[str, Any]]:
        done, logs = steps(iterator, tf.constant(count))
        return int(done), logs

    return advance_alone


class RunningMetrics:
    """The values of the metrics' variables within an epoch: each replica adds up its own examples.

    A sum over the replicas would do for the metrics, but not to go on to the same bit.

    Args:
        model: Compiled.
        devices: That it trains on.
    """

    def __init__(self, model: keras.Model, devices: Devices) -> None:
        self._model = model
        self._devices = devices
        self._read = tf.function(self._values, autograph=False)

    def values(self) -> list[list[float]]:
        """For each replica, of all workers, the values of the variables."""
        strategy = self._devices.strategy
        local = strategy.experimental_local_results(strategy.run(self._read))
        rows = [row.numpy().tolist() for row in local]
        return [row for worker in self._devices.of_all_workers(rows) for row in worker]

    def restore(self, values: list[list[float]]) -> None:
        """Set the variables to what `values` gave, for each replica."""

        def assign() -> None:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            row = tf.gather(tf.constant(values), replica)
            for i, variable in enumerate(self._model.metrics_variables):
                variable.assign(row[i])

        self._devices.strategy.run(tf.function(assign, autograph=False))

    def _values(self) -> tf.Tensor:
        return tf.stack([variable.value for variable in self._model.metrics_variables])
