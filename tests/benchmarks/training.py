"""The seminar's models, its own way and ours: same layers, batch size, optimizer and examples.

Its way: arrays in memory, plain `compile` and `fit`. Ours: the train component, with its checkpoints and logs.
"""

import time
from pathlib import Path
from typing import Any

from common import SEED, dataset, shipped, trained

# For each family its epochs, and what share of the data. A seminar's epoch of the CNN takes minutes.
PARTS = {"mlp": (10, 1.0), "cnn": (2, 0.03), "lstm": (2, 0.5)}


def training() -> dict[str, Any]:
    """Seconds in `fit`, and the ratio; the last validation metric of both."""
    experiment, found = shipped("seminar"), {}
    for family, (epochs, use) in PARTS.items():
        spec = {**experiment["models"][family], "epochs": epochs}
        if family == "mlp":
            # As the chapter has it.
            spec = {**spec, "learning_rate": 0.001, "schedule": "constant", "warmup": 0.0, "label_smoothing": 0.0}
        name = spec["dataset"]
        data = dataset(f"seminar-{family}", {**experiment["datasets"][name], "use": use})
        seminar_s, theirs = seminar_way(spec, data)
        result = trained(spec, data)
        metric = "val_accuracy" if name == "images" else "val_mae"
        found[family] = {
            "ours_s": result["fit_s"],
            "seminar_s": seminar_s,
            "ratio": result["fit_s"] / seminar_s,
            f"ours_{metric}": result["history"][-1][metric],
            f"seminar_{metric}": theirs[metric],
        }
    return found


def seminar_way(spec: dict[str, Any], data: Path) -> tuple[float, dict[str, float]]:
    """Plain Keras: arrays, `compile`, `fit`."""
    import keras
    import numpy as np

    from components.artifacts.dataset import load_info
    from components.common.spec import ModelSpec
    from components.data import input_pipeline
    from components.families import build_model

    info = load_info(data)

    def arrays(split: str) -> tuple[Any, Any]:
        batches = list(input_pipeline.sequential_batches(data, info, split, 512).as_numpy_iterator())
        x = [batch[0]["window"] if isinstance(batch[0], dict) else batch[0] for batch in batches]
        return np.concatenate(x), np.concatenate([batch[1] for batch in batches])

    x, y = arrays("train")
    validation = arrays("validation")
    keras.utils.set_random_seed(SEED)
    model = build_model(ModelSpec.model_validate(spec), info)
    optimizer = keras.optimizers.get(
        {"class_name": spec["optimizer"], "config": {"learning_rate": spec["learning_rate"]}}
    )
    classifies = info.task == "classification"
    loss = "sparse_categorical_crossentropy" if classifies else spec.get("loss", "mse")
    model.compile(optimizer, loss=loss, metrics=["accuracy" if classifies else "mae"])
    start = time.perf_counter()
    history = model.fit(
        x, y, epochs=spec["epochs"], batch_size=spec["batch_size"], validation_data=validation, verbose=0
    )
    seconds = time.perf_counter() - start
    return seconds, {name: values[-1] for name, values in history.history.items()}
