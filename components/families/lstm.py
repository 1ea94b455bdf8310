"""One LSTM layer over the rows of an image or the steps of a window."""

from typing import TYPE_CHECKING

from components.common.spec import Recurrent, Share, Width
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Recurrent):
    """Hyperparameters of the LSTM, beside those of every recurrent family.

    Attributes:
        units: The size of the state.
        dropout: The share of the inputs that is dropped at each step.
        recurrent_dropout: The share of the state that is dropped; above 0 a GPU can't use cuDNN.
    """

    units: Width = 128
    dropout: Share = 0.0
    recurrent_dropout: Share = 0.0


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    hp = hyperparameters
    recurrent = layer_sizes.lstm(*layer_sizes.sequence(shape, hp.patch), hp.units)
    return [*recurrent, *layer_sizes.dense(hp.units, hp.hidden, outputs)]


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the LSTM."""
    import keras

    from components.models import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    x = keras.layers.LSTM(hp.units, dropout=hp.dropout, recurrent_dropout=hp.recurrent_dropout)(inputs.x)
    return layers.finish(inputs, x, info, hp.hidden, hp.head_dropout)
