"""Adam in one operation a variable, where Keras takes a dozen."""

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, with the update made by TensorFlow's own kernel.

    The same formula (tensorflow.org/api_docs/python/tf/raw_ops/ResourceApplyAdam) in one pass over memory: weights
    differ in their last digits from those of `keras.optimizers.Adam`. `weight_decay` makes it AdamW, as in Keras.
    """

    def update_step(
        self,
        gradient: tf.Tensor | tf.IndexedSlices,
        variable: tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """Update a variable, its momentum and its velocity; in a strategy, those of one replica."""
        if isinstance(gradient, tf.IndexedSlices):  # of an embedding, for which there is no such kernel
            super().update_step(gradient, variable, learning_rate)
            return
        place, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
