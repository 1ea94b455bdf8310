"""The four steps that all peers run: load Fashion-MNIST, train the seminar's MLP for 3 epochs, evaluate, export."""

import time

EPOCHS = 3


def load(folder: str) -> None:
    """Write the images as arrays."""
    import numpy as np
    import tensorflow_datasets as tfds

    for split in ("train", "test"):
        data = tfds.as_numpy(tfds.load("fashion_mnist", split=split, batch_size=-1))
        np.savez(f"{folder}/{split}.npz", x=data["image"].reshape(-1, 784).astype("float32") / 255, y=data["label"])


def train(data: str, path: str) -> float:
    """Fit the model and save it; the seconds of `fit`."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(7)
    arrays = np.load(f"{data}/train.npz")
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(arrays["x"][:55000], arrays["y"][:55000], batch_size=100, epochs=EPOCHS, verbose=0,
              validation_data=(arrays["x"][55000:], arrays["y"][55000:]))  # fmt: skip
    seconds = time.perf_counter() - start
    model.save(path)
    print(f"fit {seconds}", flush=True)
    return seconds


def evaluate(data: str, path: str) -> float:
    """Accuracy on the test split."""
    import keras
    import numpy as np

    arrays = np.load(f"{data}/test.npz")
    accuracy = float(keras.saving.load_model(path).evaluate(arrays["x"], arrays["y"], verbose=0)[1])
    print(f"accuracy {accuracy}", flush=True)
    return accuracy


def export(path: str, folder: str) -> None:
    """Write a SavedModel."""
    import keras

    keras.saving.load_model(path).export(folder, verbose=False)
