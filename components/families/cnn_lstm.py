"""Convolutions along the sequence, then an LSTM over their outputs (Donahue et al. 2015, arXiv:1411.4389)."""

from typing import TYPE_CHECKING

from pydantic import Field

from components.common.spec import MOST_LAYERS, Kernel, Recurrent, Share, Width
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Recurrent):
    """Hyperparameters of the CNN-LSTM, beside those of every recurrent family.

    Attributes:
        filters: The number of filters of each convolution. After each, max pooling halves the sequence.
        kernel: The number of steps that a filter covers.
        units: The size of the LSTM's state.
        dropout: The share of the LSTM's inputs that is dropped at each step.
    """

    filters: list[Width] = Field(default=[32, 64], min_length=1, max_length=MOST_LAYERS)
    kernel: Kernel = 3
    units: Width = 64
    dropout: Share = 0.0


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    hp = hyperparameters
    steps, features = layer_sizes.sequence(shape, hp.patch)
    convolutions = []
    for filters in hp.filters:
        convolutions.append((hp.kernel * features * filters, steps * filters))
        steps, features = -(-steps // 2), filters
    lstm = layer_sizes.lstm(steps, features, hp.units)
    return [*convolutions, *lstm, *layer_sizes.dense(hp.units, hp.hidden, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the CNN-LSTM."""
    import keras

    from components.models import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    x = inputs.x
    for filters in hp.filters:
        x = keras.layers.Conv1D(filters, hp.kernel, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling1D(2, padding="same")(x)
    x = keras.layers.LSTM(hp.units, dropout=hp.dropout)(x)
    return layers.finish(inputs, x, info, hp.hidden, hp.head_dropout)
