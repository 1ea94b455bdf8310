"""An LSTM that encodes the window, and one that unrolls the horizon from the encoder's state.

The decoder's input at each step ahead is what is known of that step: its calendar, its working day. Where
nothing is known, it is the encoder's summary, repeated (Sutskever et al. 2014, arXiv:1409.3215; Cho et al. 2014,
arXiv:1406.1078).
"""

from typing import TYPE_CHECKING

from components.common.spec import Patch, Share, Strict, Width, WidthOrZero
from components.models import sizes as sized

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import SeriesInfo

TASKS = ("forecasting",)


class Hyperparameters(Strict):
    """Hyperparameters of the encoder-decoder LSTM.

    Attributes:
        units: Size of the state, of both.
        dropout: Share of the encoder's summary and of the decoder's outputs dropped.
        patch: Rows of a window side by side in one step of the encoder.
        hidden: Width of a dense layer at each step ahead, before the output; 0 for none.
        seasonal: Forecast from the seasons of the window, see `components.models.layers.forecast`.
    """

    units: Width = 64
    dropout: Share = 0.0
    patch: Patch = 1
    hidden: WidthOrZero = 0
    seasonal: bool = False


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> sized.Sizes:
    """See `components.models.sizes`."""
    hp = hyperparameters
    encoder = sized.lstm(*sized.sequence(shape, hp.patch), hp.units)
    ahead = [(weights, outputs * numbers) for weights, numbers in sized.dense(hp.units, hp.hidden, 1)]
    return [*encoder, *sized.lstm(outputs, 0, hp.units), *ahead]


def build(info: "SeriesInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the encoder-decoder LSTM."""
    import keras

    from components.models import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    summary, hidden, cell = keras.layers.LSTM(hp.units, return_state=True, name="encoder")(inputs.x)
    if hp.dropout:
        hidden = keras.layers.Dropout(hp.dropout)(hidden)
    ahead = keras.layers.RepeatVector(info.horizon)(summary) if inputs.future is None else inputs.future
    x = keras.layers.LSTM(hp.units, return_sequences=True, name="decoder")(ahead, initial_state=[hidden, cell])
    # A Dense layer is the same at each step; TimeDistributed would call it once for each (Keras 3.15).
    if hp.hidden:
        x = keras.layers.Dense(hp.hidden, activation="relu")(x)
    if hp.dropout:
        x = keras.layers.Dropout(hp.dropout)(x)
    value = keras.layers.Dense(1, dtype="float32")(x)
    values = keras.layers.Reshape((info.horizon,), dtype="float32")(value)
    if inputs.seasons is None:
        return layers.forecast(inputs, values, info)
    weights = keras.layers.Dense(inputs.seasons.shape[1], dtype="float32")(x)
    return layers.forecast(inputs, values, info, keras.layers.Permute((2, 1), dtype="float32")(weights))
