"""Convolutional network, in Keras' Functional API: two-dimensional on images, along the time on windows."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from components.spec import Strict, Width

if TYPE_CHECKING:
    import keras

    from components.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Conv(Strict):
    """A convolution, 'same' padded, with relu: so many filters of kernel x kernel (or kernel steps)."""

    conv: int = Field(ge=1)
    kernel: int = Field(default=3, ge=1)


class Drop(Strict):
    """Dropout of this share."""

    dropout: float = Field(gt=0, lt=1)


class Norm(Strict):
    """Batch normalization, whose moving averages keep this share at a step.

    What is predicted depends on them. With Keras' 0.99 they are hundreds of steps behind, too many for a short
    training: after 330 steps a model that knew 85 % of the training images knew 34 % of others, with 0.9 it was 78 %.
    """

    norm: float = Field(ge=0, lt=1)


Layer = Conv | Drop | Norm | Literal["norm", "pool", "average"]


class Hyperparameters(Strict):
    """Hyperparameters of the CNN.

    Attributes:
        layers: In their order: {conv: filters, kernel: size}, norm (batch normalization, as {norm: 0.99}), pool
            (halves each side by maximum), {dropout: share}, average (over all places; without it the end is flattened).
        units: Width of each dense layer after them.
        dropout: Share dropped before the output layer.
        seasonal: Forecast from the seasons of the window, see `components.layers.forecast`; series only.
    """

    layers: list[Layer] = [
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
    units: list[Width] = []
    dropout: float = Field(default=0.0, ge=0, lt=1)
    seasonal: bool = False


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the CNN."""
    import keras

    from components import layers

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
