"""The layers that the families share: from raw inputs to scaled tensors, and from features to the task's output.

Scaling is part of the model and uses the statistics of the training split, so that a saved model takes raw values. All
layers are Keras' own, so that the models load in Keras' safe mode. Inputs are scaled, and outputs computed, in float32
whatever Keras' dtype policy is, for bfloat16 has only three digits.
"""

from dataclasses import dataclass, replace

import keras

from components.artifacts.dataset import LEAST_DEVIATION, DatasetInfo, ImagesInfo, SeriesInfo


@dataclass(frozen=True)
class Inputs:
    """The inputs of a model, and the tensors that are computed from them.

    Attributes:
        raw: `image` uint8 [batch, height, width, channels]; or `window` float32 [batch, lookback, columns]
            and, where columns are known ahead, `future` float32 [batch, horizon, known].
        x: The image or window, float32, scaled to zero mean and unit variance per channel or column.
        future: `future`, scaled; None where there is none.
        level: The mean of the scaled target over the window, float32 [batch, 1]. It is subtracted from the target in
            `x`. None where the model isn't seasonal.
        seasons: The target at the same time in each season of the window, less the level, float32 [batch, seasons,
            horizon]. None where the model isn't seasonal.
        mean: The mean of the raw target over the window, float32 [batch, 1]. None where the scale isn't the window's.
        std: The standard deviation of the raw target over the window, float32 [batch, 1]; None as `mean` is.
    """

    raw: list[keras.KerasTensor]
    x: keras.KerasTensor
    future: keras.KerasTensor | None = None
    level: keras.KerasTensor | None = None
    seasons: keras.KerasTensor | None = None
    mean: keras.KerasTensor | None = None
    std: keras.KerasTensor | None = None


def scaled_inputs(info: DatasetInfo, seasonal: bool = False) -> Inputs:
    """Make the inputs of a model.

    Args:
        info: The description of the data set.
        seasonal: Whether to prepare a forecast from the seasons of the window, see `forecast`; series only.
    """
    if isinstance(info, ImagesInfo):
        image = keras.Input(info.shape, dtype="uint8", name="image")
        return Inputs([image], _scaled(image, info.mean, info.std))
    window = keras.Input((info.lookback, len(info.columns)), dtype="float32", name="window")
    x = _scaled(window, info.mean[: len(info.columns)], info.std[: len(info.columns)])
    mean = std = None
    if info.scaling == "window":
        x, mean, std = _scaled_by_window(x, window, info)
    raw, future = [window], None
    if info.known:
        raw.append(keras.Input((info.horizon, len(info.known)), dtype="float32", name="future"))
        known = info.known_places()
        future = _scaled(raw[1], [info.mean[i] for i in known], [info.std[i] for i in known])
    if not seasonal:
        return Inputs(raw, x, future, mean=mean, std=std)
    target = x[:, :, 0]
    level = keras.layers.GlobalAveragePooling1D(dtype="float32")(x)[:, :1]
    centred = keras.layers.Subtract(dtype="float32")([target, level])
    x = _with_target(x, centred[:, :, None])
    season = min(info.season(), info.lookback)
    count = info.lookback // season
    recent = centred[:, info.lookback - count * season :]
    seasons = keras.layers.Reshape((count, season), dtype="float32")(recent)
    repeats = -(-info.horizon // season)
    if repeats > 1:
        seasons = keras.layers.Concatenate(dtype="float32")([seasons] * repeats)
    return Inputs(raw, x, future, level, seasons[:, :, : info.horizon], mean, std)


def sequence(info: DatasetInfo, patch: int = 1, seasonal: bool = False) -> Inputs:
    """Make the inputs of a recurrent model, `x` being float32 [batch, steps, features].

    An image is the sequence of its rows, and a window that of its rows in time. `patch` of them are side by side in one
    step, so that many rows are a short sequence (Lin et al. 2023, SegRNN, arXiv:2308.11200).

    Args:
        info: The description of the data set.
        patch: The number of rows in a step. The oldest or topmost rows, which don't fill a step, are left out.
        seasonal: Whether to prepare a forecast from the seasons of the window, as in `scaled_inputs`.
    """
    inputs = scaled_inputs(info, seasonal)
    x = inputs.x
    if isinstance(info, ImagesInfo):
        height, width, channels = info.shape
        x = keras.layers.Reshape((height, width * channels))(x)
    rows, features = x.shape[1:]
    if (patch := min(patch, rows)) > 1:
        x = keras.layers.Reshape((rows // patch, patch * features))(x[:, rows % patch :])
    return replace(inputs, x=x)


def finish(
    inputs: Inputs, features: keras.KerasTensor, info: DatasetInfo, hidden: int = 0, dropout: float = 0.0
) -> keras.Model:
    """End a model with the output layers of its task.

    Args:
        inputs: The inputs of this model.
        features: The features, float32 [batch, features]. The known columns of the future are appended to them.
        info: The description of the data set.
        hidden: The width of a dense layer before the output; 0 for none.
        dropout: The share of values dropped before the output.

    Returns:
        A model that returns probabilities float32 [batch, classes], or what `forecast` does.
    """
    if inputs.future is not None:
        features = keras.layers.Concatenate()([features, keras.layers.Flatten()(inputs.future)])
    if hidden:
        features = keras.layers.Dense(hidden, activation="relu")(features)
    if dropout:
        features = keras.layers.Dropout(dropout)(features)
    if isinstance(info, ImagesInfo):
        output = keras.layers.Dense(len(info.classes), activation="softmax", dtype="float32")
        return keras.Model(inputs.raw, output(features))
    if inputs.seasons is None:
        values = keras.layers.Dense(info.horizon, dtype="float32")(features)
        return forecast(inputs, values, info, features=features)
    count = inputs.seasons.shape[1]
    weights = keras.layers.Dense(count * info.horizon, kernel_initializer=_small_weights(), dtype="float32")(features)
    correction = keras.layers.Dense(info.horizon, kernel_initializer=_small_weights(), dtype="float32")(features)
    return forecast(inputs, correction, info, keras.layers.Reshape((count, info.horizon))(weights), features)


def forecast(
    inputs: Inputs,
    values: keras.KerasTensor,
    info: SeriesInfo,
    weights: keras.KerasTensor | None = None,
    features: keras.KerasTensor | None = None,
) -> keras.Model:
    """End a forecasting model: from scaled values to the target's unit.

    A seasonal model forecasts a weighted mean of the values at the same time in each season of the window, plus a
    correction and the window's level. The weights are the model's own. Untrained, they are about equal, which is a good
    forecast already.

    Args:
        inputs: The inputs of this model.
        values: The scaled forecast, float32 [batch, horizon]. For a seasonal model it is the correction.
        info: The description of the series.
        weights: The weights of the seasons before the softmax, float32 [batch, seasons, horizon]; None where the model
            isn't seasonal.
        features: The features that the distances between quantiles are computed from, float32 [batch, features] or
            [batch, horizon, features]; None takes the scaled forecast.

    Returns:
        A model that returns float32 [batch, horizon] in the target's unit, or the quantiles of `info` there, float32
        [batch, horizon, quantiles].
    """
    if weights is not None:
        shares = keras.layers.Softmax(axis=1, dtype="float32")(weights)
        mean = keras.ops.sum(keras.layers.Multiply(dtype="float32")([shares, inputs.seasons]), axis=1)
        values = keras.layers.Add(dtype="float32")([mean, values])
        values = keras.layers.Add(dtype="float32")([values, inputs.level])
    if info.quantiles:
        values = _quantiles(values, values if features is None else features, info)
    if inputs.std is not None and inputs.mean is not None:
        mean, std = (part[:, :, None] if info.quantiles else part for part in (inputs.mean, inputs.std))
        deviation = keras.layers.Multiply(dtype="float32")([values, std])
        return keras.Model(inputs.raw, keras.layers.Add(dtype="float32")([deviation, mean]))
    unscaled = keras.layers.Rescaling(info.std[0], offset=info.mean[0], dtype="float32")
    return keras.Model(inputs.raw, unscaled(values))


def _quantiles(median: keras.KerasTensor, features: keras.KerasTensor, info: SeriesInfo) -> keras.KerasTensor:
    """The scaled quantiles, float32 [batch, horizon, quantiles]. They can't cross.

    Each is the next one nearer to the median, plus or less a distance that is a function of the features and positive.
    The outer quantiles don't train the median through it: with that, the median's own error is smaller.
    """
    pairs = len(info.quantiles) // 2
    if len(features.shape) == 2:
        distances = keras.layers.Dense(info.horizon * 2 * pairs, dtype="float32")(features)
        distances = keras.layers.Reshape((info.horizon, 2 * pairs), dtype="float32")(distances)
    else:
        distances = keras.layers.Dense(2 * pairs, dtype="float32")(features)
    distances = keras.layers.Activation("softplus", dtype="float32")(distances)
    below, above = ([keras.ops.stop_gradient(median)] for _ in range(2))
    for i in range(pairs):
        below.insert(0, keras.layers.Subtract(dtype="float32")([below[0], distances[:, :, i]]))
        above.append(keras.layers.Add(dtype="float32")([above[-1], distances[:, :, pairs + i]]))
    return keras.ops.stack([*below[:-1], median, *above[1:]], axis=-1)


def batch_norm(momentum: float = 0.99, epsilon: float = 0.001, affine: bool = True) -> keras.layers.BatchNormalization:
    """Batch normalization with the statistics of the whole batch, also where several replicas share it.

    Args:
        momentum: The share of the moving averages that a step keeps.
        epsilon: What is added to the variance.
        affine: Whether there is a trained scale and offset after it.
    """
    import tensorflow as tf

    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(
        momentum=momentum, epsilon=epsilon, center=affine, scale=affine, synchronized=several
    )


def input_norm() -> keras.layers.BatchNormalization:
    """Batch normalization of each input by itself.

    It has no scale and offset of its own, which the next layer's weights have anyway: to train them takes another
    product of matrices, as large as that layer's. Its epsilon of 0.1 leaves pixels small that are nearly always black.
    """
    return batch_norm(epsilon=0.1, affine=False)


def _small_weights() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)


def _scaled_by_window(
    x: keras.KerasTensor, window: keras.KerasTensor, info: SeriesInfo
) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    """The scaled window `x` with its target scaled by the window's own mean and deviation, and these two (RevIN).

    The deviation is at least a thousandth of the mean's size, so that a window that hardly changes isn't blown up.
    Source: Kim et al. 2022, openreview.net/forum?id=cGDAkQo1C0p.
    """
    target = window[:, :, :1]
    mean = keras.layers.GlobalAveragePooling1D(dtype="float32")(target)
    centred = keras.layers.Subtract(dtype="float32")([target, mean[:, None, :]])
    variance = keras.layers.GlobalAveragePooling1D(dtype="float32")(keras.ops.square(centred))
    least = keras.ops.maximum(LEAST_DEVIATION * keras.ops.absolute(mean), 1e-6 * info.std[0])
    std = keras.ops.maximum(keras.ops.sqrt(variance), least)
    scaled = keras.ops.divide(centred, std[:, None, :])
    return _with_target(x, scaled), mean, std


def _with_target(window: keras.KerasTensor, target: keras.KerasTensor) -> keras.KerasTensor:
    """A window with another target, float32 [batch, lookback, 1]."""
    if window.shape[2] == 1:
        return target
    return keras.layers.Concatenate(dtype="float32")([target, window[:, :, 1:]])


def _scaled(x: keras.KerasTensor, mean: list[float], std: list[float]) -> keras.KerasTensor:
    variance = [s**2 for s in std]
    return keras.layers.Normalization(axis=-1, mean=mean, variance=variance, dtype="float32")(x)
