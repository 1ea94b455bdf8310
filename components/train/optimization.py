"""The loss, optimizer, schedule and metrics of a training."""

import keras
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo
from components.common.spec import ModelSpec
from components.train.adam import FusedAdam


class Lowered(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate, or a schedule, times a factor. `Trainer` halves the factor when it goes back after a NaN.

    Args:
        rate: The learning rate, or its schedule.
        factor: The factor, a float32 variable.
    """

    def __init__(self, rate: float | keras.optimizers.schedules.LearningRateSchedule, factor: tf.Variable) -> None:
        self._rate = rate
        self._factor = factor

    def __call__(self, step: tf.Tensor) -> tf.Tensor:  # noqa: D102 (Keras')
        return (self._rate(step) if callable(self._rate) else self._rate) * self._factor


def learning_rate(
    rate: float, spec: ModelSpec, steps: int, replicas: int, factor: tf.Variable | None
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate that an optimizer takes.

    Args:
        rate: The highest learning rate, of one replica where `spec` says so.
        spec: The keys of the model, with the schedule.
        steps: The number of steps of the schedule.
        replicas: The number of copies of the model that train together.
        factor: The learning rate is multiplied by this variable.
    """
    highest = rate * (replicas if spec.per_replica else 1)
    found: float | keras.optimizers.schedules.LearningRateSchedule = highest
    if spec.schedule == "cosine":
        warmup = min(round(spec.warmup * steps), steps - 1)
        found = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else highest,
            steps - warmup,
            warmup_target=highest if warmup else None,
            warmup_steps=warmup,
        )
    return found if factor is None else Lowered(found, factor)


def compile_model(
    model: keras.Model,
    spec: ModelSpec,
    info: DatasetInfo,
    per_epoch: int,
    replicas: int = 1,
    factor: tf.Variable | None = None,
) -> None:
    """Compile a model with the optimizer, schedule, loss and metrics that `spec` asks for.

    Args:
        model: A built model.
        spec: How it is trained.
        info: The description of the data set.
        per_epoch: The number of steps of an epoch.
        replicas: The number of copies of the model that train together, for a learning rate of one replica.
        factor: The learning rate is multiplied by this variable.
    """
    rate = learning_rate(spec.learning_rate, spec, spec.epochs * per_epoch, replicas, factor)
    average: dict[str, object] = {}
    optimizers = {
        "adam": FusedAdam,
        "adamw": FusedAdam,
        "nadam": keras.optimizers.Nadam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    options = {"sgd": {"momentum": 0.9, "nesterov": True}, "adamw": {"weight_decay": spec.weight_decay}}
    if spec.ema is not None:
        average = {"use_ema": True, "ema_momentum": spec.ema}  # used by `Trainer`
    optimizer = optimizers[spec.optimizer](rate, **options.get(spec.optimizer, {}), **average)
    # Decay is for weights that multiply inputs. A smaller bias or scale of a normalization regularizes nothing.
    optimizer.exclude_from_weight_decay(var_list=[each for each in model.trainable_variables if len(each.shape) < 2])
    # Keras would make a metric that is given by name, and its variables, in the first step, and trace the step again.
    loss: object
    if info.task == "classification":
        mixed, classes = bool(spec.augment.mixup), len(info.classes)
        loss = _crossentropy(spec.label_smoothing, classes, mixed)
        metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        if mixed:
            metric = keras.metrics.MeanMetricWrapper(_accuracy, name="accuracy")
    elif spec.quantiles:
        loss, metric = _pinball(spec.quantiles), keras.metrics.MeanMetricWrapper(_median_error, name="mae")
    else:
        loss, metric = spec.loss or "mse", keras.metrics.MeanAbsoluteError(name="mae")
    model.compile(
        optimizer,
        loss=loss,
        metrics=[metric],
        jit_compile=False,  # XLA is slower than TensorFlow's own kernels on CPUs, and compiles for long
    )


def _crossentropy(label_smoothing: float, classes: int, mixed: bool) -> object:
    if not label_smoothing and not mixed:
        return "sparse_categorical_crossentropy"

    def crossentropy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        shares = _shares(labels, classes)
        return keras.losses.categorical_crossentropy(shares, probabilities, label_smoothing=label_smoothing)

    return crossentropy


def _accuracy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    return keras.metrics.categorical_accuracy(_shares(labels, probabilities.shape[1]), probabilities)


def _shares(labels: tf.Tensor, classes: int) -> tf.Tensor:
    """The shares of the classes, [batch, classes]: those of mixed labels, or 1 for a label's class."""
    if labels.shape.rank == 2 and labels.shape[1] == classes:
        return labels
    return tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), classes)


def _pinball(quantiles: list[float]) -> object:
    """The pinball loss, the mean over all quantiles (Koenker and Bassett 1978, doi:10.2307/1913643)."""

    def pinball(target: tf.Tensor, forecasts: tf.Tensor) -> tf.Tensor:
        error = target[:, :, None] - forecasts
        return tf.reduce_mean(tf.maximum(quantiles * error, [q - 1 for q in quantiles] * error), axis=[1, 2])

    return pinball


def _median_error(target: tf.Tensor, forecasts: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(target - forecasts[:, :, forecasts.shape[2] // 2]), axis=1)
