"""A model's folder as whoever uses the model reads it: checked, described, and loaded without Keras."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.artifacts import dataset, registration
from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.export import SAVED_MODEL
from components.common.errors import InputError
from components.common.quiet import import_tensorflow
from components.vertex.cloud_storage import local

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


def find_model(name: str, registry: Path | None = None) -> ServedModel:
    """Look at a model's folder: what export wrote, or a copy that register made.

    A link is followed once: all that is read later is of the folder that it leads to now.

    Args:
        name: The folder, such as runs/registry/<experiment>/<data set>/current; or gs://bucket/folder.
        registry: The registry that has to have written it. None trusts whoever did: a SavedModel is a program, which
            can do what the process that loads it can.

    Raises:
        InputError: It is no such folder, another registry's, or a file of it was changed after it was registered.
    """
    try:
        folder = local(name).resolve(strict=True)
        if not (folder / SAVED_MODEL).is_dir():
            raise InputError(f"{name}: no {SAVED_MODEL}/ in it, expected a folder such as runs/registry/…/current")
    # A circle of links is a RuntimeError, a zero byte in a name a ValueError.
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: {reason}, expected a folder such as runs/registry/…/current") from None
    if registry is None:
        digests = registration.file_digests(folder)
        registration.check_files(folder, digests)
    else:
        try:
            digests = registration.check_registration(folder, registry).files
        except InputError as error:
            raise InputError(f"{error} (a SavedModel is a program; --trust loads it all the same)") from None
    info = dataset.load_info(folder)
    return ServedModel(folder, info, hashlib.sha256(json.dumps(digests).encode()).hexdigest())


def load_predict(model: ServedModel) -> Predict:
    """Load the SavedModel.

    Returns:
        A function of raw inputs by name, as `serving_default` takes them: `image` uint8 [batch, height, width,
        channels]; or `window` float32 [batch, lookback, columns] and `future` float32 [batch, horizon, known]. It
        gives float32 [batch, classes] or [batch, horizon], and raises InputError where the model can't compute.

    Raises:
        InputError: It can't be loaded, or takes or gives something else than the data set's description says.
    """
    tf = import_tensorflow()
    path = model.folder / SAVED_MODEL
    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
    except Exception as error:  # TensorFlow raises almost any where files are damaged
        raise InputError(f"{path}: can't be loaded: {_line(error)}") from None
    takes = {name: _spec(tensor) for name, tensor in serve.structured_input_signature[1].items()}
    gives = [_spec(tensor) for tensor in serve.structured_outputs.values()]
    inputs, output = _described(model.info)
    if takes != inputs or gives != [output]:
        raise InputError(f"{path}: takes {takes} and gives {gives}, expected {inputs} and {[output]} by dataset.json")

    def predict(inputs: dict[str, np.ndarray], _loaded: object = loaded) -> np.ndarray:
        # The signature doesn't keep the variables of the model alive, the default argument does.
        try:
            (output,) = serve(**{name: tf.constant(value) for name, value in inputs.items()}).values()
            return output.numpy()
        except tf.errors.OpError as error:
            raise InputError(f"{path}: can't compute: {_line(error)}") from None

    return predict


_Spec = tuple[str, list[int | None]]


def _spec(tensor: Any) -> _Spec:  # noqa: ANN401 (a tf.TensorSpec)
    return tensor.dtype.name, tensor.shape.as_list() if tensor.shape.rank is not None else []


def _described(info: DatasetInfo) -> tuple[dict[str, _Spec], _Spec]:
    """Types and shapes of the inputs and of the output of a model of this data set."""
    if isinstance(info, ImagesInfo):
        return {"image": ("uint8", [None, *info.shape])}, ("float32", [None, len(info.classes)])
    inputs: dict[str, _Spec] = {"window": ("float32", [None, info.lookback, len(info.columns)])}
    if info.known:
        inputs["future"] = ("float32", [None, info.horizon, len(info.known)])
    return inputs, ("float32", [None, info.horizon])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
