"""The seminar's MLP, its own way and ours, in one run: `make bench`.

Same layers, batch size, epochs and images. Its way: arrays in memory, plain `compile` and `fit`. Ours: the
train component's input pipeline and compilation. Ratios are what counts; seconds depend on the machine.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TFDS_DATA_DIR", str(Path("data/tfds").absolute()))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import keras

from components import inputs
from components.dataset import ImagesInfo
from components.files import write_json
from components.ingest.work import ingest
from components.model import build
from components.share import steps_per_epoch
from components.spec import ModelSpec
from components.train.optimization import compile_model
from components.train.work import EVALUATION_BATCH

EPOCHS, BATCH, SEED = 10, 100, 7
FOLDER = Path("runs/bench")
SPEC = ModelSpec(
    family="mlp",
    dataset="fashion",
    epochs=EPOCHS,
    batch_size=BATCH,
    hyperparameters={"units": [256, 64], "dropout": [0.2, 0.0]},
)


def seminar_way(folder: Path, info: ImagesInfo) -> tuple[float, float]:
    """Seconds of all epochs and the last validation accuracy, the seminar's way."""
    x, y = inputs.load_images(folder, info, "train")
    xv, yv = inputs.load_images(folder, info, "validation")
    x, xv = x.reshape(-1, 784).astype("float32") / 255, xv.reshape(-1, 784).astype("float32") / 255
    y, yv = keras.utils.to_categorical(y), keras.utils.to_categorical(yv)
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.001), loss="categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    history = model.fit(x, y, epochs=EPOCHS, batch_size=BATCH, validation_data=(xv, yv), verbose=0)
    return time.perf_counter() - start, history.history["val_accuracy"][-1]


def our_way(folder: Path, info: ImagesInfo) -> tuple[float, float]:
    """The same of the train component."""
    keras.utils.set_random_seed(SEED)
    model = build(SPEC, info)
    per_epoch = steps_per_epoch(info, "train", BATCH)
    compile_model(model, SPEC, info, per_epoch)
    start = time.perf_counter()
    history = model.fit(
        inputs.shuffled(folder, info, "train", BATCH, seed=SEED, epochs=EPOCHS),
        validation_data=inputs.in_order(folder, info, "validation", EVALUATION_BATCH),
        epochs=EPOCHS,
        steps_per_epoch=per_epoch,
        shuffle=False,
        verbose=0,
    )
    return time.perf_counter() - start, history.history["val_accuracy"][-1]


def main() -> None:
    """Measure both, print the ratio, write runs/bench/latest.json."""
    folder = FOLDER / "dataset"
    info = ingest("fashion", json.dumps({"source": "fashion_mnist"}), str(folder))
    assert isinstance(info, ImagesInfo)
    seminar, their_accuracy = seminar_way(folder, info)
    ours, our_accuracy = our_way(folder, info)
    ratio = ours / seminar
    print(f"mlp, {EPOCHS} epochs: seminar's way {seminar:.1f} s (validation accuracy {their_accuracy:.4f}), ", end="")
    print(f"ours {ours:.1f} s ({our_accuracy:.4f}), ratio {ratio:.2f}")
    write_json(FOLDER / "latest.json", {"training": {"mlp": {"ours_s": ours, "seminar_s": seminar, "ratio": ratio}}})


if __name__ == "__main__":
    main()
