"""A model's folder as whoever uses the model reads it: checked, described, and loaded without Keras."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components import dataset, registration
from components.data_files import local
from components.dataset import DatasetInfo
from components.errors import InputError
from components.exported import SAVED_MODEL
from components.quiet import import_tensorflow

Predict = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class ServedModel:
    """An exported model.

    Attributes:
        folder: Where it is.
        info: The data set that it was trained on.
        sha256: Digest of its files.
    """

    folder: Path
    info: DatasetInfo
    sha256: str


def find_model(name: str) -> ServedModel:
    """Look at a model's folder: what export wrote, or a copy that register made.

    Args:
        name: The folder, such as runs/registry/<experiment>/<data set>/current; or gs://bucket/folder.

    Raises:
        InputError: It is no such folder, or a file of it was changed after the model was registered.
    """
    folder = local(name)
    if not (folder / SAVED_MODEL).is_dir():
        raise InputError(f"{name}: no {SAVED_MODEL}/ in it, expected a model's folder such as runs/registry/…/current")
    digests = registration.file_digests(folder)
    registration.check_files(folder, digests)
    info = dataset.load_info(folder)
    return ServedModel(folder, info, hashlib.sha256(json.dumps(digests).encode()).hexdigest())


def load_predict(model: ServedModel) -> Predict:
    """Load the SavedModel.

    Returns:
        A function of raw inputs by name, as `serving_default` takes them: `image` uint8 [batch, height, width,
        channels]; or `window` float32 [batch, lookback, columns] and `future` float32 [batch, horizon, known]. It
        gives float32 [batch, classes] or [batch, horizon].

    Raises:
        InputError: It can't be loaded.
    """
    tf = import_tensorflow()
    try:
        loaded = tf.saved_model.load(str(model.folder / SAVED_MODEL))
        serve = loaded.signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{model.folder / SAVED_MODEL}: can't be loaded: {said}") from None

    def predict(inputs: dict[str, np.ndarray], _loaded: object = loaded) -> np.ndarray:
        # The signature doesn't keep the variables of the model alive, the default argument does.
        (output,) = serve(**{name: tf.constant(value) for name, value in inputs.items()}).values()
        return output.numpy()

    return predict
