"""A convolutional network, in Keras' Functional API: two-dimensional on images, along the time on windows."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from components.common.spec import MOST_LAYERS, Kernel, Share, Strict, Width
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Conv(Strict):
    """A convolution with 'same' padding and relu: `conv` filters of kernel x kernel pixels, or of kernel steps."""

    conv: Width
    kernel: Kernel = 3


class Dropout(Strict):
    """Dropout of this share of the values."""

    dropout: float = Field(gt=0, lt=1)


class Norm(Strict):
    """Batch normalization, whose moving averages keep this share in a step.

    Predictions use the moving averages. With Keras' default of 0.99 these lag hundreds of steps behind, too many for a
    short training. After 330 steps, a model with a training accuracy of 85 % had 34 % on other images, and 78 % with
    0.9.
    """

    norm: float = Field(ge=0, lt=1)


def _layer_tag(layer: object) -> str | None:
    """The tag of the layer that a YAML value is meant to be, so that errors are about that layer alone."""
    keys = layer if isinstance(layer, dict) else getattr(type(layer), "model_fields", {})
    return "name" if isinstance(layer, str) else next((k for k in ("conv", "dropout", "norm") if k in keys), None)


def _check_average(layers: "list[Layer]") -> "list[Layer]":
    """Refuse layers that need height and width after average, which removes them."""
    after = layers[layers.index("average") + 1 :] if "average" in layers else []
    if any(isinstance(layer, Conv) or layer in ("pool", "average") for layer in after):
        raise PydanticCustomError("average", "Input should be only norm and dropout after average")
    return layers


Layer = Annotated[
    Annotated[Conv, Tag("conv")]
    | Annotated[Dropout, Tag("dropout")]
    | Annotated[Norm, Tag("norm")]
    | Annotated[Literal["norm", "pool", "average"], Tag("name")],
    Discriminator(
        _layer_tag,
        custom_error_type="layer",
        custom_error_message="Input should be {conv: …}, {dropout: …}, {norm: …}, norm, pool or average",
    ),
]


class Hyperparameters(Strict):
    """Hyperparameters of the CNN.

    Attributes:
        layers: The layers in their order: {conv: filters, kernel: size}, norm (batch normalization, the same as {norm:
            0.99}), pool (halves height and width by the maximum), {dropout: share}, average (over all pixels or steps;
            without it the last layer's output is flattened).
        units: The width of each dense layer after them.
        dropout: The share of values dropped before the output layer.
        seasonal: Whether to forecast from the seasons of the window, see `components.models.layers.forecast`; series
            only.
    """

    layers: Annotated[list[Layer], Field(max_length=MOST_LAYERS), AfterValidator(_check_average)] = [
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


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    *sides, channels = shape
    convolutions = []
    for layer in hyperparameters.layers:
        if isinstance(layer, Conv):
            weights = layer.kernel ** len(sides) * channels * layer.conv
            channels = layer.conv
            convolutions.append((weights, math.prod(sides) * channels))
        elif layer == "pool":
            sides = [-(-side // 2) for side in sides]
        elif layer == "average":
            sides = []
    return [*convolutions, *layer_sizes.dense(math.prod(sides) * channels, *hyperparameters.units, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the CNN."""
    import keras

    from components.models import layers

    inputs = layers.scaled_inputs(info, hyperparameters.seasonal)
    x = inputs.x
    series = info.task == "forecasting"
    conv = keras.layers.Conv1D if series else keras.layers.Conv2D
    pool = keras.layers.MaxPooling1D if series else keras.layers.MaxPooling2D
    average = keras.layers.GlobalAveragePooling1D if series else keras.layers.GlobalAveragePooling2D
    for layer in hyperparameters.layers:
        if isinstance(layer, Conv):
            x = conv(layer.conv, layer.kernel, padding="same", activation="relu")(x)
        elif isinstance(layer, Dropout):
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
