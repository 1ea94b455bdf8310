"""What is added to a trained model before it is saved. All layers are Keras' own, as in `components.models.layers`."""

import keras


def quantiles_moved(model: keras.Model, offsets: list[list[float]], by_width: bool = False) -> keras.Model:
    """A model whose quantiles are moved. One that would cross the next one nearer to the median is equal to that.

    Args:
        model: The model, which gives float32 [batch, horizon, quantiles].
        offsets: What is added to each quantile, for each step of the horizon.
        by_width: Whether the offsets are shares of the width of the interval that a quantile is an end of.
    """
    values = model.output
    if by_width:
        distances = [keras.ops.absolute(values[:, :, -1 - i] - values[:, :, i]) for i in range(values.shape[2])]
        change = keras.layers.Rescaling(offsets, dtype="float32")(keras.ops.stack(distances, axis=-1))
        values = keras.layers.Add(dtype="float32")([values, change])
    else:
        values = keras.layers.Rescaling(1.0, offset=offsets, dtype="float32")(values)
    middle = values.shape[2] // 2
    below, above = ([values[:, :, middle]] for _ in range(2))
    for i in range(1, middle + 1):
        below.insert(0, keras.layers.Minimum(dtype="float32")([below[0], values[:, :, middle - i]]))
        above.append(keras.layers.Maximum(dtype="float32")([above[-1], values[:, :, middle + i]]))
    return keras.Model(model.inputs, keras.ops.stack([*below, *above[1:]], axis=-1))


def logits_layer(model: keras.Model) -> keras.layers.Dense | None:
    """The last layer of a classifier, where it is a Dense layer with softmax."""
    last = model.layers[-1]
    return last if isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax else None


def flips_averaged(model: keras.Model) -> keras.Model:
    """A classifier that gives the mean of an image's logits and of those of its mirror image.

    The inputs of the Dense layer that makes the logits are averaged, which is the same, so that it stays the last one.
    Where the model ends otherwise, its outputs are averaged.

    Args:
        model: The classifier, whose layers are shared, but for the last one, which is copied. It takes one image.
    """
    last, image = logits_layer(model), model.inputs[0]
    features = keras.Model(image, last.input, name="features") if last else model
    mean = keras.layers.Average(dtype="float32")([features(image), features(image[:, :, ::-1])])
    if not last:
        return keras.Model(image, mean)
    # The input of a layer that is called twice is that of its first call.
    copy = keras.layers.Dense.from_config(last.get_config())
    averaged = keras.Model(image, copy(mean))
    copy.set_weights(last.get_weights())
    return averaged
