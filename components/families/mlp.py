"""A multilayer perceptron: dense layers, in Keras' Sequential API."""

import math
from typing import TYPE_CHECKING

from pydantic import Field

from components.common.spec import MOST_LAYERS, Share, Strict, Width
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Strict):
    """Hyperparameters of the MLP.

    Attributes:
        units: The width of each hidden layer.
        norm_inputs: Whether there is batch normalization of each pixel or value by itself before the first layer. It
            has no scale and offset that are trained.
        norm: Whether there is batch normalization after each hidden layer.
        dropout: The share of units that is dropped after each hidden layer. The last number holds for all later layers.
        seasonal: Whether to forecast from the seasons of the window, see `components.models.layers.forecast`; series
            only.
    """

    units: list[Width] = Field(default=[256, 64], max_length=MOST_LAYERS)
    norm_inputs: bool = False
    norm: bool = False
    dropout: list[Share] = Field(default=[0.2], min_length=1, max_length=MOST_LAYERS)
    seasonal: bool = False


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    return layer_sizes.dense(math.prod(shape), *hyperparameters.units, outputs)


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the MLP on the flattened image or window."""
    import keras

    from components.models import layers

    body = keras.Sequential([keras.layers.Flatten()], name="mlp")
    if hyperparameters.norm_inputs:
        body.add(layers.input_norm())
    for i, units in enumerate(hyperparameters.units):
        body.add(keras.layers.Dense(units, activation="relu"))
        if hyperparameters.norm:
            body.add(layers.batch_norm())
        if rate := hyperparameters.dropout[min(i, len(hyperparameters.dropout) - 1)]:
            body.add(keras.layers.Dropout(rate))
    inputs = layers.scaled_inputs(info, hyperparameters.seasonal)
    return layers.finish(inputs, body(inputs.x), info)
