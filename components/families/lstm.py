"""One LSTM layer over the rows of an image or the steps of a window."""

from typing import TYPE_CHECKING

from pydantic import Field

from components.spec import Strict

if TYPE_CHECKING:
    import keras

    from components.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Strict):
    """Hyperparameters of the LSTM.

    Attributes:
        units: Size of the state.
        dropout: Share of each step's inputs dropped.
        recurrent_dropout: Share of the state dropped; above 0 a GPU can't use cuDNN.
        patch: Rows of a window side by side in one step.
        residual: Forecast the difference from the value one season before; series only.
    """

    units: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    patch: int = Field(default=1, ge=1)
    residual: bool = False


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the LSTM."""
    import keras

    from components import layers

    hp = hyperparameters
    inputs, x = layers.scaled_sequence(info, hp.patch)
    x = keras.layers.LSTM(hp.units, dropout=hp.dropout, recurrent_dropout=hp.recurrent_dropout)(x)
    return layers.finish(inputs, x, info, hp.residual)
