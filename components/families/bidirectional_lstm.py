"""LSTM layers that read the sequence forwards and backwards (Schuster and Paliwal 1997, doi:10.1109/78.650093)."""

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
    """Hyperparameters of the bidirectional LSTM, beside those of every recurrent family.

    Attributes:
        units: The size of each layer's state, in each direction.
        dropout: The share of each layer's outputs that is dropped.
    """

    units: list[Width] = Field(default=[64], min_length=1, max_length=MOST_LAYERS)
    dropout: Share = 0.0


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    hp = hyperparameters
    steps, features = layer_sizes.sequence(shape, hp.patch)
    widths = [features, *(2 * units for units in hp.units)]
    directions = [2 * layer_sizes.lstm(steps, before, after // 2) for before, after in itertools.pairwise(widths)]
    return [*itertools.chain(*directions), *layer_sizes.dense(widths[-1], hp.hidden, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the bidirectional LSTM."""
    import keras

    from components.models import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    x = inputs.x
    for i, units in enumerate(hp.units):
        lstm = keras.layers.LSTM(units, return_sequences=i < len(hp.units) - 1)
        x = keras.layers.Bidirectional(lstm)(x)
        if hp.dropout:
            x = keras.layers.Dropout(hp.dropout)(x)
    return layers.finish(inputs, x, info, hp.hidden, hp.head_dropout)
