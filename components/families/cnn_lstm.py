"""Convolutions along the sequence, then an LSTM over what they found (Donahue et al. 2015, arXiv:1411.4389)."""

from typing import TYPE_CHECKING

from pydantic import Field

from components.common.spec import MOST_LAYERS, Kernel, Recurrent, Share, Width
from components.models import sizes as sized

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Recurrent):
    """Hyperparameters of the CNN-LSTM, beside those of every recurrent family.

    Attributes:
        filters: Of each convolution; after each the sequence is halved by maximum.
        kernel: Steps that a convolution sees.
        units: Size of the LSTM's state.
        dropout: Share of each step's inputs of the LSTM dropped.
    """

    filters: list[Width] = Field(default=[32, 64], min_length=1, max_length=MOST_LAYERS)
    kernel: Kernel = 3
    units: Width = 64
    dropout: Share = 0.0


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> sized.Sizes:
    """See `components.models.sizes`."""
    hp = hyperparameters
    steps, features = sized.sequence(shape, hp.patch)
    found = []
    for filters in hp.filters:
        found.append((hp.kernel * features * filters, steps * filters))
        steps, features = -(-steps // 2), filters
    return [*found, *sized.lstm(steps, features, hp.units), *sized.dense(hp.units, hp.hidden, outputs)]


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
