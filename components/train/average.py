"""The average of the weights takes their place at the end of each epoch."""

import keras
import tensorflow as tf


class UseAverage(keras.callbacks.Callback):
    """Before each validation the optimizer's moving average of the weights takes their place.

    Training goes on from it. Keras' own `ema_overwrite_frequency` does the same inside the compiled step, where it
    can't be done under MirroredStrategy (Keras 3.15.1).

    Args:
        strategy: That the weights were made under.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        super().__init__()
        self._strategy = strategy

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Overwrite the weights."""
        with self._strategy.scope():
            self.model.optimizer.finalize_variable_values(self.model.trainable_weights)
