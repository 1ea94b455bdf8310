"""A preset of keras-hub, whose weights are frozen first and then fine-tuned, or random weights (keras.io/keras_hub)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from components.common.errors import InputError, one_line
from components.common.files import sha256
from components.common.spec import MOST_EPOCHS, Share, Strict
from components.families import FineTuning
from components.vertex.cloud_storage import GS, DataPath, local_path

if TYPE_CHECKING:
    import keras
    import keras_hub

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification",)
LAYER = "backbone"
ARCHITECTURE, WEIGHTS, SCALING = "config.json", "model.weights.h5", "image_converter.json"
HINT = "expected a folder that keras-hub's save_to_preset wrote, see 'Pretrained weights' in docs/own-pictures.md"


def _check_handle(preset: object) -> object:
    """Refuse handles of models on a network, which may be others tomorrow."""
    if isinstance(preset, str) and "://" in preset and not preset.startswith(GS):
        raise PydanticCustomError("preset", "Input should be a folder or gs://bucket/folder, not a handle")
    return preset


class Hyperparameters(Strict):
    """Hyperparameters of the backbone.

    Attributes:
        preset: The preset's folder, relative to the config, or gs://bucket/folder. keras-hub's `save_to_preset` writes
            it.
        sha256: The digest of the preset's files that are used. Without it, it is computed when the experiment is
            compiled. The training refuses other files.
        weights: Whether to begin with the preset's weights. Its batch normalization and dropout then stay in inference
            mode, and its own scaling is used. Otherwise weights are random, all are trained from the start, and inputs
            are scaled by the training split.
        frozen_epochs: The epochs in which the preset's weights are frozen, and the output layer alone is trained. From
            then on all weights are, by a new optimizer. `schedule`, `warmup` and `patience` begin anew. As many as
            `epochs` train the output layer alone.
        fine_tune_learning_rate: The learning rate after these epochs.
        dropout: The share of features dropped before the output layer.
    """

    preset: Annotated[DataPath, BeforeValidator(_check_handle)]
    sha256: str | None = None
    weights: bool = True
    frozen_epochs: int = Field(default=5, ge=0, le=MOST_EPOCHS)
    fine_tune_learning_rate: float = Field(default=1e-5, gt=0, le=1000)
    dropout: Share = 0.0


def check(hyperparameters: Hyperparameters, shape: list[int] | None = None) -> Hyperparameters:
    """Look at the preset's files.

    Args:
        hyperparameters: The hyperparameters.
        shape: The height, width and number of channels of an image; None where they aren't known.

    Returns:
        The hyperparameters with the digest of the files.

    Raises:
        InputError: A file is missing, isn't a preset's, or isn't the one that the digest is of. Or the preset takes
            images of another size.
    """
    preset, folder = hyperparameters.preset, local_path(hyperparameters.preset)
    names = [ARCHITECTURE, *([WEIGHTS, SCALING] if hyperparameters.weights else [])]
    if not folder.is_dir():
        raise InputError(f"preset: {preset}: no such folder, {HINT}")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise InputError(f"preset: {preset}: no {' and no '.join(missing)} in it, {HINT}")
    try:
        config = json.loads((folder / ARCHITECTURE).read_bytes())
        name = config["registered_name"]
    except (OSError, ValueError, TypeError, KeyError):
        name = None
    if not isinstance(name, str) or not name.startswith("keras_hub>"):
        raise InputError(f"preset: {preset}: {ARCHITECTURE} isn't that of a backbone of keras-hub, {HINT}")
    found = sha256([folder / name for name in names], folder)
    if hyperparameters.sha256 not in (None, found):
        raise InputError(f"preset: {preset}: has the SHA-256 {found}, expected {hyperparameters.sha256}")
    options = config.get("config")
    expected = options.get("image_shape") if isinstance(options, dict) else None
    if shape and isinstance(expected, list) and not _fits(expected, shape):
        raise InputError(f"preset: {preset}: takes images of {expected}, those of the data set are {shape}")
    return hyperparameters.model_copy(update={"sha256": found})


def fine_tuning(hyperparameters: Hyperparameters) -> FineTuning | None:
    """The phases of the training; None with random weights."""
    if not hyperparameters.weights:
        return None
    return FineTuning(LAYER, hyperparameters.frozen_epochs, hyperparameters.fine_tune_learning_rate)


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the model."""
    import keras
    import tensorflow as tf

    from components.models import layers

    check(hyperparameters)
    if not hyperparameters.weights and tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise InputError("weights: false is for one device: keras-hub's batch normalization isn't synchronized")
    backbone, pretrained = _load(hyperparameters), hyperparameters.weights
    inputs = layers.scaled_inputs(info)
    x = inputs.x
    if pretrained:
        scaling = _scaling(hyperparameters)
        x = keras.layers.Rescaling(*scaling, dtype="float32")(_coloured(inputs.raw[0]))
    else:
        x = _coloured(x)
    expected = backbone.input_shape[1:] if isinstance(backbone.input_shape, tuple) else ()
    given = tuple(x.shape[1:])
    if not _fits(list(expected), list(given)):
        raise InputError(
            f"{hyperparameters.preset}: takes {backbone.input_shape}, the images of {info.name} are {given}"
        )
    # In inference mode also while it is fine-tuned: keras.io/guides/transfer_learning.
    x = backbone(x, training=False) if pretrained else backbone(x)
    if len(getattr(x, "shape", ())) != 4:
        raise InputError(f"{hyperparameters.preset}: expected a backbone that gives maps, [height, width, features]")
    return layers.finish(inputs, keras.layers.GlobalAveragePooling2D()(x), info, dropout=hyperparameters.dropout)


def _fits(expected: list[int | None], shape: list[int]) -> bool:
    """Whether images of a shape are what a preset takes, whose sides may be free. Grey ones become colour ones."""
    given = [*shape[:2], 3 if shape[2] == 1 else shape[2]]
    return len(expected) == 3 and all(side in (None, own) for side, own in zip(expected, given, strict=True))


def _coloured(x: "keras.KerasTensor") -> "keras.KerasTensor":
    """Grey images as colour ones, which presets take."""
    import keras

    return keras.layers.Concatenate()([x] * 3) if x.shape[-1] == 1 else x


def _folder(hyperparameters: Hyperparameters) -> str:
    # An absolute path can't be taken for the name of a preset that keras-hub would download.
    return str(local_path(hyperparameters.preset).absolute())


@contextmanager
def _loading(what: str, hyperparameters: Hyperparameters) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Keras raises almost any exception where files are damaged
        raise InputError(f"{hyperparameters.preset}: keras-hub can't load {what}: {one_line(error)[:200]}") from None


def _load(hyperparameters: Hyperparameters) -> "keras_hub.models.Backbone":
    import keras
    import keras_hub

    with _loading("it", hyperparameters):
        return keras_hub.models.Backbone.from_preset(
            _folder(hyperparameters), hyperparameters.weights, name=LAYER, dtype=keras.config.dtype_policy().name
        )


def _scaling(hyperparameters: Hyperparameters) -> tuple[object, object]:
    """The factor and the offset of each channel."""
    import keras_hub

    with _loading(SCALING, hyperparameters):
        converter = keras_hub.layers.ImageConverter.from_preset(_folder(hyperparameters))
    return (1.0 if converter.scale is None else converter.scale), (
        0.0 if converter.offset is None else converter.offset
    )
