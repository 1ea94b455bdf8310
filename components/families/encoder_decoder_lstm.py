"""An LSTM that encodes the window, and one that unrolls the horizon from the encoder's state.

The decoder's input at each step ahead is what is known of that step: its calendar, its working day. Where
nothing is known, it is the encoder's summary, repeated (Sutskever et al. 2014, arXiv:1409.3215; Cho et al. 2014,
arXiv:1406.1078).
"""

from typing import TYPE_CHECKING

from pydantic import Field

from components.spec import Strict

if TYPE_CHECKING:
    import keras

    from components.dataset import SeriesInfo

TASKS = ("forecasting",)


class Hyperparameters(Strict):
    """Hyperparameters of the encoder-decoder LSTM.

    Attributes:
        units: Size of the state, of both.
        dropout: Share of the decoder's outputs dropped before the last layer.
        patch: Rows of a window side by side in one step of the encoder.
        residual: Forecast the difference from the value one season before.
    """

    units: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    patch: int = Field(default=1, ge=1)
    residual: bool = False


def build(info: "SeriesInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the encoder-decoder LSTM."""
    import keras

    from components import layers

    hp = hyperparameters
    inputs, x = layers.scaled_sequence(info, hp.patch)
    summary, *state = keras.layers.LSTM(hp.units, return_state=True, name="encoder")(x)
    future = layers.scaled_future(inputs, info)
    if future is None:
        future = keras.layers.RepeatVector(info.horizon)(summary)
    x = keras.layers.LSTM(hp.units, return_sequences=True, name="decoder")(future, initial_state=state)
    if hp.dropout:
        x = keras.layers.Dropout(hp.dropout)(x)
    x = keras.layers.TimeDistributed(keras.layers.Dense(1))(x)
    return layers.forecast(inputs, keras.layers.Reshape((info.horizon,))(x), info, hp.residual)
