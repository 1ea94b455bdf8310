"""LSTM layers that read the sequence forwards and backwards (Schuster and Paliwal 1997, doi:10.1109/78.650093)."""

from typing import TYPE_CHECKING

from pydantic import Field

from components.spec import Strict, Width

if TYPE_CHECKING:
    import keras

    from components.dataset import DatasetInfo

TASKS = ("classification", "forecasting")


class Hyperparameters(Strict):
    """Hyperparameters of the bidirectional LSTM.

    Attributes:
        units: Size of each layer's state, in each direction.
        dropout: Share of each layer's outputs dropped.
        patch: Rows of a window side by side in one step.
        hidden: Width of a dense layer before the output; 0 for none.
        head_dropout: Share dropped before the output.
        seasonal: Forecast from the seasons of the window, see `components.layers.forecast`; series only.
    """

    units: list[Width] = Field(default=[64], min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    patch: int = Field(default=1, ge=1)
    hidden: int = Field(default=0, ge=0)
    head_dropout: float = Field(default=0.0, ge=0, lt=1)
    seasonal: bool = False


def build(info: "DatasetInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the bidirectional LSTM."""
    import keras

    from components import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    x = inputs.x
    for i, units in enumerate(hp.units):
        lstm = keras.layers.LSTM(units, return_sequences=i < len(hp.units) - 1)
        x = keras.layers.Bidirectional(lstm)(x)
        if hp.dropout:
            x = keras.layers.Dropout(hp.dropout)(x)
    return layers.finish(inputs, x, info, hp.hidden, hp.head_dropout)
