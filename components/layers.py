"""What the families share: from raw inputs to scaled tensors, and from features to the task's output.

Scaling is part of the model, with the statistics of the training split, so that a saved model takes raw
values. Everything here is made of Keras' own layers and operations: the models load in safe mode.
"""

import keras

from components.dataset import DatasetInfo, ImagesInfo, SeriesInfo

Tensors = tuple[list[keras.KerasTensor], keras.KerasTensor]


def scaled_input(info: DatasetInfo) -> Tensors:
    """The model's inputs and the main one of them, scaled.

    Returns:
        The inputs, in order: `image` uint8 [batch, height, width, channels]; or `window` float32 [batch,
        lookback, columns] and, where columns are known ahead, `future` float32 [batch, horizon, known]. And
        the image or the window, float32, with zero mean and unit variance per channel or column.
    """
    if isinstance(info, ImagesInfo):
        image = keras.Input(info.shape, dtype="uint8", name="image")
        return [image], _scaled(image, info.mean, info.std)
    window = keras.Input((info.lookback, len(info.columns)), dtype="float32", name="window")
    inputs = [window]
    if info.known:
        inputs.append(keras.Input((info.horizon, len(info.known)), dtype="float32", name="future"))
    return inputs, _scaled(window, info.mean, info.std)


def scaled_sequence(info: DatasetInfo, patch: int = 1) -> Tensors:
    """The model's inputs and the main one as a sequence for a recurrent layer.

    An image is the sequence of its rows. A window is the sequence of its rows in time, `patch` of them side
    by side in one step, so that a long window is a short sequence (Lin et al. 2023, SegRNN, arXiv:2308.11200).

    Args:
        info: The data set.
        patch: Rows of a window per step; the oldest rows that don't fill a step are left out.

    Returns:
        The inputs as `scaled_input` gives them, and float32 [batch, steps, features].
    """
    inputs, x = scaled_input(info)
    if isinstance(info, ImagesInfo):
        height, width, channels = info.shape
        return inputs, keras.layers.Reshape((height, width * channels))(x)
    if patch == 1:
        return inputs, x
    patch = min(patch, info.lookback)
    steps = info.lookback // patch
    recent = keras.layers.Cropping1D((info.lookback - steps * patch, 0))(x)
    return inputs, keras.layers.Reshape((steps, patch * len(info.columns)))(recent)


def scaled_future(inputs: list[keras.KerasTensor], info: SeriesInfo) -> keras.KerasTensor | None:
    """What is known of the future, scaled, float32 [batch, horizon, known]; None where nothing is."""
    if not info.known:
        return None
    places = info.known_places()
    return _scaled(inputs[1], [info.mean[i] for i in places], [info.std[i] for i in places])


def finish(
    inputs: list[keras.KerasTensor], features: keras.KerasTensor, info: DatasetInfo, residual: bool = False
) -> keras.Model:
    """End a model with the output layer of its task.

    Args:
        inputs: As `scaled_input` gave them.
        features: float32 [batch, features].
        info: The data set.
        residual: Forecast the difference from the value one season before; series only.

    Returns:
        A model that gives `probabilities` float32 [batch, classes], or `forecast` float32 [batch, horizon]
        in the target's unit. A forecast sees what is known of the future beside `features`.
    """
    if isinstance(info, ImagesInfo):
        return keras.Model(inputs, keras.layers.Dense(len(info.classes), activation="softmax")(features))
    future = scaled_future(inputs, info)
    if future is not None:
        features = keras.layers.Concatenate()([features, keras.layers.Flatten()(future)])
    return forecast(inputs, keras.layers.Dense(info.horizon)(features), info, residual)


def forecast(
    inputs: list[keras.KerasTensor], scaled: keras.KerasTensor, info: SeriesInfo, residual: bool = False
) -> keras.Model:
    """End a forecasting model: from scaled values float32 [batch, horizon] to the target's unit.

    With `residual`, the model forecasts what is added to the value one season before (repeated where the
    horizon is longer than the season), so an untrained model is the seasonal naive forecast.
    """
    if not residual:
        return keras.Model(inputs, keras.layers.Rescaling(info.std[0], offset=info.mean[0])(scaled))
    season = min(info.season(), info.lookback)
    last_season = inputs[0][:, -season:, 0]
    repeats = -(-info.horizon // season)
    naive = keras.layers.Concatenate()([last_season] * repeats) if repeats > 1 else last_season
    change = keras.layers.Rescaling(info.std[0])(scaled)
    return keras.Model(inputs, keras.layers.Add()([naive[:, : info.horizon], change]))


def _scaled(x: keras.KerasTensor, mean: list[float], std: list[float]) -> keras.KerasTensor:
    variance = [s**2 for s in std]
    return keras.layers.Normalization(axis=-1, mean=mean, variance=variance)(x)
