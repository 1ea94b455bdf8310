"""An LSTM that encodes the window, and one that unrolls the horizon from the encoder's state.

The decoder's input at each step of the horizon is the columns that are known ahead, such as the calendar. Where there
are none, it is the encoder's last output, repeated (Sutskever et al. 2014, arXiv:1409.3215; Cho et al. 2014,
arXiv:1406.1078).
"""

from typing import TYPE_CHECKING

from components.common.spec import Patch, Share, Strict, Width, WidthOrZero
from components.models import layer_sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import SeriesInfo

TASKS = ("forecasting",)


class Hyperparameters(Strict):
    """Hyperparameters of the encoder-decoder LSTM.

    Attributes:
        units: The size of the state of the encoder and of the decoder.
        dropout: The share of the encoder's last output, and of the decoder's outputs, that is dropped.
        patch: The number of rows of a window that are side by side in one step of the encoder.
        hidden: The width of a dense layer at each step of the horizon, before the output; 0 for none.
        seasonal: Whether to forecast from the seasons of the window, see `components.models.layers.forecast`.
    """

    units: Width = 64
    dropout: Share = 0.0
    patch: Patch = 1
    hidden: WidthOrZero = 0
    seasonal: bool = False


def sizes(shape: list[int], outputs: int, hyperparameters: Hyperparameters) -> layer_sizes.LayerSizes:
    """See `components.models.layer_sizes`."""
    hp = hyperparameters
    encoder = layer_sizes.lstm(*layer_sizes.sequence(shape, hp.patch), hp.units)
    horizon = [(weights, outputs * numbers) for weights, numbers in layer_sizes.dense(hp.units, hp.hidden, 1)]
    return [*encoder, *layer_sizes.lstm(outputs, 0, hp.units), *horizon]


def build(info: "SeriesInfo", hyperparameters: Hyperparameters) -> "keras.Model":
    """Build the encoder-decoder LSTM."""
    import keras

    from components.models import layers

    hp = hyperparameters
    inputs = layers.sequence(info, hp.patch, hp.seasonal)
    summary, hidden, cell = keras.layers.LSTM(hp.units, return_state=True, name="encoder")(inputs.x)
    if hp.dropout:
        hidden = keras.layers.Dropout(hp.dropout)(hidden)
    future = keras.layers.RepeatVector(info.horizon)(summary) if inputs.future is None else inputs.future
    x = keras.layers.LSTM(hp.units, return_sequences=True, name="decoder")(future, initial_state=[hidden, cell])
    # A Dense layer is applied to all steps in one call. TimeDistributed would call it for each step (Keras 3.15).
    if hp.hidden:
        x = keras.layers.Dense(hp.hidden, activation="relu")(x)
    if hp.dropout:
        x = keras.layers.Dropout(hp.dropout)(x)
    value = keras.layers.Dense(1, dtype="float32")(x)
    values = keras.layers.Reshape((info.horizon,), dtype="float32")(value)
    if inputs.seasons is None:
        return layers.forecast(inputs, values, info, features=x)
    weights = keras.layers.Dense(inputs.seasons.shape[1], dtype="float32")(x)
    return layers.forecast(inputs, values, info, keras.layers.Permute((2, 1), dtype="float32")(weights), x)
