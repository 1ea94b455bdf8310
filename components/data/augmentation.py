"""Random changes of training images, by Keras' own layers, in tf.data.

Keras' layers draw from a generator whose state is a variable. tf.data would neither save nor restore it, and would
change it in no fixed order. Here the seeds follow from the experiment's seed and the step, so that training can resume
at any step.
"""

import keras
import tensorflow as tf

from components.common.no_autograph import no_autograph
from components.common.spec import Augment
from components.data.replicas import WHOLE, BatchShare
from components.data.storage import PARALLEL


class _StepSeeds(keras.random.SeedGenerator):
    """A generator that gives the seeds of Keras' own one of the same number, without its variable."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.restart(tf.constant(0, tf.int64))

    def restart(self, seed: tf.Tensor) -> None:
        """Begin anew with a number, int64 []."""
        self._seed, self._drawn = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """The next seed, int64 [2]."""
        self._drawn += 1
        return tf.stack([self._seed, tf.constant(self._drawn - 1, tf.int64)])


def layers(augment: Augment, seeds: list[int] | None = None) -> list[keras.layers.Layer]:
    """The layers of Keras that a config asks for, in the order of its keys; mixup comes last.

    Args:
        augment: The config's keys.
        seeds: The seed of each layer; None for zeros.
    """
    made = {
        "flip": keras.layers.RandomFlip,
        "rotation": keras.layers.RandomRotation,
        "zoom": keras.layers.RandomZoom,
        "translation": lambda factor, **options: keras.layers.RandomTranslation(factor, factor, **options),
        "brightness": keras.layers.RandomBrightness,
        "rand_augment": lambda factor, **options: keras.layers.RandAugment(factor=factor, **options),
        "mixup": keras.layers.MixUp,
    }
    asked = [(made[name], value) for name, value in augment if value]
    return [
        make(value, seed=seed, dtype="float32")
        for (make, value), seed in zip(asked, seeds or [0] * len(asked), strict=True)
    ]


def step_seeds(count: int, seed: int, step: tf.Tensor, share: BatchShare = WHOLE) -> tf.Tensor:
    """The seeds of so many layers at a step, int64 [count]. Each worker has others."""
    pair = tf.stack([tf.constant(seed, tf.int64), step + (share.worker << 32)])
    return tf.random.stateless_uniform([count], pair, maxval=tf.int32.max, dtype=tf.int64)


def augmented(
    batches: tf.data.Dataset, augment: Augment, classes: int, seed: int, first_step: int = 0, share: BatchShare = WHOLE
) -> tf.data.Dataset:
    """Change the images of each batch.

    Args:
        batches: Batches of (uint8 [batch, height, width, channels], int64 [batch]).
        augment: What is changed.
        classes: The number of classes.
        seed: The seed. The changes depend only on it, the step and the worker.
        first_step: The number of the first batch, counted over all epochs.
        share: The part of each batch that `batches` has.

    Returns:
        Batches of the same types and shapes. With mixup, the labels are the shares of the classes, float32 [batch,
        classes].
    """
    made = layers(augment)
    for layer in made:
        layer.generator = _StepSeeds()

    @no_autograph
    def change(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        data = {"images": tf.cast(images, tf.float32), "labels": labels}
        if augment.mixup:
            data["labels"] = tf.one_hot(labels, classes)
        seeds = step_seeds(len(made), seed, step, share)
        for i, layer in enumerate(made):
            layer.generator.restart(seeds[i])
            if isinstance(layer, keras.layers.MixUp):
                data = layer(data, training=True)
            else:
                data["images"] = layer(data["images"], training=True)
        changed = tf.saturate_cast(tf.round(data["images"]), images.dtype)
        return tf.ensure_shape(changed, images.shape), data["labels"]

    return batches.enumerate(first_step).map(change, num_parallel_calls=PARALLEL).prefetch(1)
