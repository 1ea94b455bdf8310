"""How fast 5,000 photographs of 224 x 224 pixels are streamed, beside how fast a residual network trains on them.

They are different crops of the two photographs that come with scikit-learn.
"""

import time
from pathlib import Path
from typing import Any

from common import FOLDER, SEED, dataset

SIDE, COUNT = 224, 5000
STEPS = 15


def photographs() -> dict[str, float]:
    """Images per second of the input pipeline alone, of training on one batch, and of training on the stream.

    The two trainings take turns, for a machine isn't equally fast all the time.
    """
    import tensorflow as tf

    from components.artifacts.dataset import load_info
    from components.common.spec import ModelSpec
    from components.data import input_pipeline
    from components.train.devices import find_devices
    from components.train.shared_batches import SharedBatches
    from components.train.steps import compiled_steps
    from components.train.train import build_compiled

    folder = FOLDER / "photographs"
    write_crops(folder)
    options = {"source": "image_folder", "path": str(folder.absolute()), "height": SIDE, "width": SIDE}
    data, devices = dataset("photographs", options), find_devices()
    info = load_info(data)
    spec = ModelSpec(family="residual_cnn", dataset="photographs", batch_size=32, flip=True)
    batches = SharedBatches("residual_cnn", spec, str(data), info, SEED, devices)
    model, _ = build_compiled(spec, info, SEED, "float32", batches, devices)
    steps = compiled_steps(model.train_step, devices.strategy)
    assert info.examples("train") * SIDE * SIDE * 3 > input_pipeline.CACHE_BYTES, "and so they are streamed"
    stream = iter(batches.training(0))
    held = iter(tf.data.Dataset.from_tensors(next(stream)).repeat())
    seconds: dict[str, list[float]] = {"held": [], "streamed": []}
    for _ in range(STEPS):
        for name, source in (("held", held), ("streamed", stream)):
            start = time.perf_counter()
            int(steps(source, tf.constant(1)))
            seconds[name].append(time.perf_counter() - start)
    # The first step is traced.
    speeds = {name: spec.batch_size * (STEPS - 1) / sum(values[1:]) for name, values in seconds.items()}
    alone = iter(batches.training(0))
    next(alone)
    start = time.perf_counter()
    count = sum(int(next(alone)[1].shape[0]) for _ in range(4 * STEPS))
    examples = count / (time.perf_counter() - start)
    return {
        "examples_per_second": examples,
        "consumed_per_second": speeds["held"],
        "times_consumption": examples / speeds["held"],
        "trained_on_the_stream_per_second": speeds["streamed"],
    }


def write_crops(folder: Path) -> None:
    """Write the crops, half of each photograph, once."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    if folder.is_dir():
        return
    generator, sample = np.random.default_rng(SEED), load_sample_images()
    for name, photograph in zip(sample.filenames, sample.images, strict=True):
        places = folder.with_suffix(".partial") / Path(name).stem
        places.mkdir(parents=True, exist_ok=True)
        rows, columns = (length - SIDE for length in photograph.shape[:2])
        for place in generator.choice(rows * columns, COUNT // 2, replace=False):
            row, column = divmod(int(place), columns)
            crop = Image.fromarray(photograph[row : row + SIDE, column : column + SIDE])
            crop.save(places / f"{row}-{column}.jpg", quality=90)
    folder.with_suffix(".partial").rename(folder)


if __name__ == "__main__":
    found: dict[str, Any] = photographs()
    print({name: round(value, 1) for name, value in found.items()})
