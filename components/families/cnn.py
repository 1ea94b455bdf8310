"""Convolutional network, in Keras' Functional API: two-dimensional on images, along the time on windows."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from components.common.spec import MOST_LAYERS, Kernel, Share, Strict, Width
from components.models import sizes as sized

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Conv(Strict):
    """A convolution, 'same' padded, with relu: so many filters of kernel x kernel (or kernel steps)."""

    conv: Width
    kernel: Kernel = 3


class Drop(Strict):
    """Dropout of this share."""

    dropout: float = Field(gt=0, lt=1)


class Norm(Strict):
    """Batch normalization, whose moving averages keep this share at a step.

    What is predicted depends on them. With Keras' 0.99 they are hundreds of steps behind, too many for a short
    training: after 330 steps a model that knew 85 % of the training images knew 34 % of others, with 0.9 it was 78 %.
    """

    norm: float = Field(ge=0, lt=1)


def _kind(layer: Any) -> str | None:  # noqa: ANN401 (what YAML holds)
    """Which of the layers it is meant to be, so that what is wrong with it is told as of that one."""
    keys = layer if isinstance(layer, dict) else getattr(type(layer), "model_fields", {})
    return "name" if isinstance(layer, str) else next((k for k in ("conv", "dropout", "norm") if k in keys), None)


def _average_last(layers: list[Any]) -> list[Any]:
    after = layers[layers.index("average") + 1 :] if "average" in layers else []
    if any(isinstance(layer, Conv) or layer in ("pool", "average") for layer in after):
        raise PydanticCustomError("average", "Input should be only norm and dropout after average")
    return layers


Layer = Annotated[
    Annotated[Conv, Tag("conv")]
    | Annotated[Drop, Tag("dropout")]
    | Annotated[Norm, Tag("norm")]
    | Annotated[Literal["norm", "pool", "average"], Tag("name")],
    Discriminator(
        _kind,
        custom_error_type="layer",
        custom_error_message="Input should be {conv: …}, {dropout: …}, {norm: …}, norm, pool or average",
    ),
]


class Hyperparameters(Strict):
    """Hyperparameters of the CNN.

    Attributes:
        layers: In their order: {conv: filters, kernel: size}, norm (batch normalization, as {norm: 0.99}), pool
            (halves each side by maximum), {dropout: share}, average (over all places; without it the end is flattened).
        units: Width of each dense layer after them.
        dropout: Share dropped before the output layer.
        seasonal: Forecast from the seasons of the window, see `components.models.layers.forecast`; series only.
    """

    layers: Annotated[list[Layer], Field(max_length=MOST_LAYERS), AfterValidator(_average_last)] = [
        Conv(conv=32),
        Norm(norm=0.9),
        "pool",
        Conv(conv=64),
        Norm(norm=0.9),
        "pool",
        Conv(conv=128),
        Norm(norm=0.9),
        "average",
    ]
    units: list[Width] = Field(default=[], max_length=MOST_LAYERS)
    dropout: Share = 0.0
    seasonal: bool = False


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> sized.Sizes:
    """See `components.models.sizes`."""
    *sides, channels = shape
    found = []
    for layer in hyperparameters.layers:
        if isinstance(layer, Conv):
            weights = layer.kernel ** len(sides) * channels * layer.conv
            channels = layer.conv
            found.append((weights, math.prod(sides) * channels))
        elif layer == "pool":
            sides = [-(-side // 2) for side in sides]
        elif layer == "average":
            sides = []
    return [*found, *sized.dense(math.prod(sides) * channels, *hyperparameters.units, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the CNN."""
    import keras

    from components.models import layers

    inputs = layers.scaled_inputs(info, hyperparameters.seasonal)
    x = inputs.x
    flat = info.task == "forecasting"
    conv = keras.layers.Conv1D if flat else keras.layers.Conv2D
    pool = keras.layers.MaxPooling1D if flat else keras.layers.MaxPooling2D
    average = keras.layers.GlobalAveragePooling1D if flat else keras.layers.GlobalAveragePooling2D
    for layer in hyperparameters.layers:
        if isinstance(layer, Conv):
            x = conv(layer.conv, layer.kernel, padding="same", activation="relu")(x)
        elif isinstance(layer, Drop):
            x = keras.layers.Dropout(layer.dropout)(x)
        elif isinstance(layer, Norm):
            x = layers.batch_norm(layer.norm)(x)
        elif layer == "norm":
            x = layers.batch_norm()(x)
        else:
            x = (pool(2, strides=2, padding="same") if layer == "pool" else average())(x)
    if len(x.shape) > 2:
        x = keras.layers.Flatten()(x)
    for units in hyperparameters.units:
        x = keras.layers.Dense(units, activation="relu")(x)
    return layers.finish(inputs, x, info, dropout=hyperparameters.dropout)
