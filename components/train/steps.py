"""Steps on all replicas, many of them in one call, and the metrics that they add up to."""

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from components.train.devices import Devices


def compiled_steps(
    step: Callable[[object], dict[str, tf.Tensor]], strategy: tf.distribute.Strategy
) -> tf.types.experimental.PolymorphicFunction:
    """Compile a step on every replica into a function that does any number of steps in one call.

    Args:
        step: A Keras model's `train_step` or `test_step`, which returns the logs of a step on a batch, with "loss".
        strategy: The model's strategy.

    Returns:
        A function of an iterator over batches and of the number of steps, int32. It does all these steps, as the other
        workers do. It returns the number of steps before the first one whose loss isn't finite on this worker's
        replicas.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def steps(batches: Iterator[object], count: tf.Tensor) -> tf.Tensor:
        def one(done: tf.Tensor, finite: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            losses = strategy.experimental_local_results(strategy.run(step, args=(next(batches),))["loss"])
            good = tf.reduce_all(tf.math.is_finite(tf.stack(losses))) & (finite == done)
            return done + 1, finite + tf.cast(good, tf.int32)

        return tf.while_loop(lambda done, _: done < count, one, (tf.constant(0), tf.constant(0)))[1]

    return steps


class RunningMetrics:
    """The values of the metrics' variables within an epoch. Each replica adds up its own examples.

    Their sum over the replicas would be enough for the metrics, but not for a training that goes on to the same bit.

    Args:
        model: The compiled model.
        devices: The devices that it is trained on.
    """

    def __init__(self, model: keras.Model, devices: Devices) -> None:
        self._model = model
        self._devices = devices
        self._read = tf.function(self._values, autograph=False)

    def values(self) -> list[list[float]]:
        """For each replica, of all workers, the values of the variables."""
        strategy = self._devices.strategy
        local = strategy.experimental_local_results(strategy.run(self._read))
        rows: list[list[float]] = [row.numpy().tolist() for row in local]
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
