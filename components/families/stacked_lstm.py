"""Several LSTM layers, each over the whole output sequence of the one before."""

import itertools
from typing import TYPE_CHECKING

from pydantic import Field

from components.common.spec import MOST_LAYERS, Recurrent, Share, Width
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Recurrent):
    """Hyperparameters of the stacked LSTM, beside those of every recurrent family.

    Attributes:
        units: The size of each layer's state.
        dropout: The share of the first layer's inputs that is dropped at each step.
        recurrent_dropout: The share of the first layer's state that is dropped; above 0 a GPU can't use cuDNN.
    """

    units: list[Width] = Field(default=[128, 100, 64], min_length=2, max_length=MOST_LAYERS)
    dropout: Share = 0.0
    recurrent_dropout: Share = 0.0


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    hp = hyperparameters
    steps, features = layer_sizes.sequence(shape, hp.patch)
    recurrent = [layer_sizes.lstm(steps, *pair)[0] for pair in itertools.pairwise([features, *hp.units])]
    return [*recurrent, *layer_sizes.dense(hp.units[-1], hp.hidden, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the stacked LSTM."""
    import keras

    from components.models import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    x = inputs.x
    first, *between, last = hp.units
    rates = {"dropout": hp.dropout, "recurrent_dropout": hp.recurrent_dropout}
    x = keras.layers.LSTM(first, return_sequences=True, **rates)(x)
    for units in between:
        x = keras.layers.LSTM(units, return_sequences=True)(x)
    x = keras.layers.LSTM(last)(x)
    return layers.finish(inputs, x, info, hp.hidden, hp.head_dropout)
