"""The folder of an exported model: it is checked, described, and its SavedModel is loaded without Keras."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.artifacts import dataset, registration
from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.export import SAVED_MODEL
from components.common.errors import InputError, one_line
from components.common.quiet import import_tensorflow
from components.vertex.cloud_storage import local_path

if TYPE_CHECKING:
    import tensorflow as tf

Predict = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class ModelFolder:
    """The folder of an exported model, whose files have been checked.

    Attributes:
        path: The folder, without links.
        info: The description of the data set that the model was trained on.
        sha256: The digest of the folder's files.
    """

    path: Path
    info: DatasetInfo
    sha256: str


def find_model(name: str, registry: Path | None = None) -> ModelFolder:
    """Check a model's folder, which export wrote or register copied.

    A link is followed once. All that is read later comes from the folder that the link leads to now.

    Args:
        name: The folder, such as runs/registry/<experiment>/<data set>/current, or gs://bucket/folder.
        registry: The registry that has to have written the folder. None trusts any folder. A SavedModel is a program,
            which can do whatever the process that loads it can do.

    Raises:
        InputError: There is no such folder, another registry wrote it, or a file was changed after the registration.
    """
    try:
        folder = local_path(name).resolve(strict=True)
        if not (folder / SAVED_MODEL).is_dir():
            raise InputError(f"{name}: no {SAVED_MODEL}/ in it, expected a folder such as runs/registry/…/current")
    # A circle of links raises RuntimeError, and a zero byte in a name ValueError.
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
    return ModelFolder(folder, info, hashlib.sha256(json.dumps(digests).encode()).hexdigest())


def load_predict(model: ModelFolder) -> Predict:
    """Load the SavedModel.

    Returns:
        A function that takes raw inputs by name, as `serving_default` does: `image` uint8 [batch, height, width,
        channels]; or `window` float32 [batch, lookback, columns] and `future` float32 [batch, horizon, known]. It
        returns float32 [batch, classes] or [batch, horizon], or of several outputs [batch, horizon, outputs] in the
        order of `DatasetInfo.outputs`. It raises InputError where the model can't compute.

    Raises:
        InputError: The SavedModel can't be loaded, or its inputs or outputs aren't those of the described data set.
    """
    tf = import_tensorflow()
    path = model.path / SAVED_MODEL
    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
    except Exception as error:  # TensorFlow raises almost any exception where files are damaged
        raise InputError(f"{path}: can't be loaded: {one_line(error)[:200]}") from None
    inputs = {name: _spec(tensor) for name, tensor in serve.structured_input_signature[1].items()}
    outputs = {name: _spec(tensor) for name, tensor in serve.structured_outputs.items()}
    expected, output = expected_specs(model.info)
    names = model.info.outputs
    if inputs != expected or outputs != dict.fromkeys(names, output):
        raise InputError(
            f"{path}: takes {inputs} and gives {outputs}, expected {expected} and {dict.fromkeys(names, output)} "
            f"by dataset.json"
        )

    def predict(inputs: dict[str, np.ndarray], _loaded: object = loaded) -> np.ndarray:
        # The default argument keeps the variables of the model alive, which the signature doesn't.
        try:
            outputs = serve(**{name: tf.constant(value) for name, value in inputs.items()})
        except tf.errors.OpError as error:
            raise InputError(f"{path}: can't compute: {one_line(error)[:200]}") from None
        values = [outputs[name].numpy() for name in names]
        return np.stack(values, axis=-1) if len(values) > 1 else values[0]

    return predict


# A dtype and a shape; None in the shape is a size that is free.
Spec = tuple[str, list[int | None]]


def _spec(tensor: "tf.TensorSpec") -> Spec:
    return tensor.dtype.name, tensor.shape.as_list() if tensor.shape.rank is not None else []


def expected_specs(info: DatasetInfo) -> tuple[dict[str, Spec], Spec]:
    """The types and shapes of the inputs by name, and of each output, of a model that was trained on this data set."""
    if isinstance(info, ImagesInfo):
        return {"image": ("uint8", [None, *info.shape])}, ("float32", [None, len(info.classes)])
    inputs: dict[str, Spec] = {"window": ("float32", [None, info.lookback, len(info.columns)])}
    if info.known:
        inputs["future"] = ("float32", [None, info.horizon, len(info.known)])
    return inputs, ("float32", [None, info.horizon])
