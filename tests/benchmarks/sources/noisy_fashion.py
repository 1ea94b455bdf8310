"""Fashion-MNIST several times over, each time with another noise, to see how cost grows with data."""

from collections.abc import Iterator

import numpy as np

from components.common.spec import Facts, ImageOptions
from components.data.source_data import Image, Images
from components.sources import fashion_mnist

TASK = "classification"


class Options(ImageOptions):
    """Options.

    Attributes:
        times: How often each training image is there.
    """

    times: int


def check(options: Options) -> Facts:
    """Whatever Fashion-MNIST says, `times` as large."""
    facts = fashion_mnist.check(fashion_mnist.Options(use=options.use))
    return Facts(fingerprint=f"{facts.fingerprint} x{options.times}", bytes=facts.bytes * options.times)


def read(options: Options) -> Images:
    """The training split repeated, the others as they are."""
    import tensorflow as tf

    images = fashion_mnist.read(fashion_mnist.Options(use=options.use, validation=options.validation))
    original = images.splits["train"]

    def repeated() -> Iterator[Image]:
        for time in range(options.times):
            random = np.random.default_rng(time)
            for data, label in original():
                pixels = tf.io.decode_png(data).numpy().astype(np.int16)
                noisy = np.clip(pixels + random.integers(-8, 9, pixels.shape), 0, 255).astype(np.uint8)
                yield tf.io.encode_png(noisy).numpy(), label

    return Images(classes=images.classes, shape=images.shape, splits={**images.splits, "train": repeated})
