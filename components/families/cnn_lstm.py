"""Convolutions along the sequence, then an LSTM over what they found (Donahue et al. 2015, arXiv:1411.4389)."""

from typing import TYPE_CHECKING

from pydantic import Field

from components.spec import Strict, Width

if TYPE_CHECKING:
    import keras

    from components.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Strict):
    """Hyperparameters of the CNN-LSTM.

    Attributes:
        filters: Of each convolution; after each the sequence is halved by maximum.
        kernel: Steps that a convolution sees.
        units: Size of the LSTM's state.
        dropout: Share of each step's inputs of the LSTM dropped.
        patch: Rows of a window side by side in one step.
        hidden: Width of a dense layer before the output; 0 for none.
        head_dropout: Share dropped before the output.
        seasonal: Forecast from the seasons of the window, see `components.layers.forecast`; series only.
    """

    filters: list[Width] = Field(default=[32, 64], min_length=1)
    kernel: int = Field(default=3, ge=1)
    units: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    patch: int = Field(default=1, ge=1)
    hidden: int = Field(default=0, ge=0)
    head_dropout: float = Field(default=0.0, ge=0, lt=1)
    seasonal: bool = False


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the CNN-LSTM."""
    import keras

    from components import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    x = inputs.x
    for filters in hp.filters:
        x = keras.layers.Conv1D(filters, hp.kernel, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling1D(2, padding="same")(x)
    x = keras.layers.LSTM(hp.units, dropout=hp.dropout)(x)
    return layers.finish(inputs, x, info, hp.hidden, hp.head_dropout)
