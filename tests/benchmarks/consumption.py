"""How fast each family of configs/families.yaml consumes examples, how fast the input pipeline alone gives them, and
how fast plain arrays would; and what its checkpoints cost.
"""

import time
from pathlib import Path
from typing import Any

from common import dataset, shipped, trained
from photographs import photographs

SECONDS = 2.0


def consumption() -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections `input` and `checkpointing`."""
    experiment, speeds, checkpointing = shipped("families"), {}, {}
    for name, model in experiment["models"].items():
        images = model["dataset"] == "fashion"
        options = experiment["datasets"][model["dataset"]]
        # The CNN trains on all images, at the default interval: its share of checkpoints is the one that is given.
        data = dataset(f"families-{name}", {**options, "use": 0.2} if images and name != "cnn" else options)
        result = trained({**model, "epochs": 2}, data)
        examples, plain = input_speed(data, model), array_speed(data, model)
        # In the first epoch functions are traced.
        used = _examples(data) / result["history"][-1]["seconds"]
        speeds[name] = {
            "examples_per_second": examples,
            "consumed_per_second": used,
            "times_consumption": examples / used,
            "plain_arrays_per_second": plain,
        }
        if images:
            speeds[name]["streamed_per_second"] = streamed_speed(data, model)
        if name == "cnn":
            checkpointing = {"share": result["saving"] / result["seconds"], "saving_s": result["saving"]}
    speeds["photographs"] = photographs()
    return speeds, checkpointing


def _examples(data: Path) -> int:
    from components.artifacts.dataset import load_info

    return load_info(data).examples("train")


def input_speed(data: Path, model: dict[str, Any]) -> float:
    """Training examples per second of the input pipeline alone."""
    from components.artifacts.dataset import load_info
    from components.data import input_pipeline

    info = load_info(data)
    options = {"seed": 1, "epochs": 1000, "flip": model.get("flip", False)}
    batches = iter(input_pipeline.shuffled_batches(data, info, "train", model["batch_size"], **options))
    for _ in range(10):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        count += int(next(batches)[1].shape[0])
    return count / (time.perf_counter() - start)


def streamed_speed(data: Path, model: dict[str, Any]) -> float:
    """The same, of images that don't fit in memory."""
    from components.data import input_pipeline

    held = input_pipeline.CACHE_BYTES
    input_pipeline.CACHE_BYTES = 0
    try:
        return input_speed(data, model)
    finally:
        input_pipeline.CACHE_BYTES = held


def array_speed(data: Path, model: dict[str, Any]) -> float:
    """The same of plain arrays, gathered in a random order by NumPy; a window is a slice of the rows."""
    import numpy as np

    from components.artifacts.dataset import ImagesInfo, load_info
    from components.data import storage

    info = load_info(data)
    size, random = model["batch_size"], np.random.default_rng(1)
    if isinstance(info, ImagesInfo):
        images, labels = storage.load_images(data, info, "train")
    else:
        rows = storage.load_rows(data, info, "train")
        windows = np.lib.stride_tricks.sliding_window_view(rows, info.lookback + info.horizon, axis=0)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        places = random.integers(0, info.examples("train"), size)
        batch = (images[places], labels[places]) if isinstance(info, ImagesInfo) else (windows[places],)
        count += len(batch[0])
    return count / (time.perf_counter() - start)
