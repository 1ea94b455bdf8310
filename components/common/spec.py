"""The parts of an experiment that the steps receive: the options of a data set, and the keys of a model.

This module needs no TensorFlow, for the command line and the compiler import it as well.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from components.common.checked_types import ClassWeights, Quantiles
from components.common.errors import InputError

T = TypeVar("T")
Task = Literal["classification", "forecasting"]
Scaling = Literal["window", "shared"]
# Keys of a model that its weights don't depend on. With another value, a training goes on from its checkpoints.
NOT_DETERMINING = {"average_flips", "calibrate", "checkpoint_seconds"}


class Strict(BaseModel):
    """A model that refuses unknown keys and never converts types, so that "3" is not taken for 3."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_checked(path: Path, adapter: TypeAdapter[T], what: str, hint: str) -> T:
    """Read a file that a step wrote.

    Args:
        path: The JSON file.
        adapter: Checks its content.
        what: What it has to be, for messages.
        hint: What to do where it can't be read.

    Raises:
        InputError: It can't be read, or isn't what it has to be.
    """
    try:
        return adapter.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {hint}") from None
    except ValidationError as error:
        raise InputError(f"{path}: not {what}: {error.errors()[0]['msg']}") from None


# The limits are far above useful values: they catch a mistake that would train without an end, or fill the memory.
MOST_EPOCHS = 100_000
MOST_ROWS = 100_000
Width = Annotated[int, Field(ge=1, le=16_384)]
WidthOrZero = Annotated[int, Field(ge=0, le=16_384)]
Kernel = Annotated[int, Field(ge=1, le=255)]
Patch = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Epochs = Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
Share = Annotated[float, Field(ge=0, lt=1)]
MOST_LAYERS = 100


class ImageOptions(Strict):
    """The options of every source of labelled images.

    Attributes:
        validation: The share of the training images that becomes the validation split, which selects the best epoch.
        use: The share of the data that is used. Less than 1 makes a first run fast.
    """

    validation: float = Field(default=1 / 12, gt=0, lt=1)
    use: float = Field(default=1.0, gt=0, le=1)


class Backtest(Strict):
    """A backtest: the models are trained on growing windows, too, and measured on the rows after each.

    Attributes:
        folds: The number of folds. The test rows of a fold are as many as the data set's, and follow those of the fold
            before. The last fold's end where the test split begins, which no fold reads.
    """

    folds: int = Field(ge=2, le=100)


class SeriesOptions(Strict):
    """The options of every source of a time series.

    Attributes:
        lookback: The number of rows that a model sees before the first one that it forecasts.
        horizon: The number of rows that it forecasts.
        validation: The share of the rows that becomes the validation split, before the test rows. It selects the best
            epoch.
        test: The share of the rows that becomes the test split, at the end. No step before evaluate reads it.
        use: The share of the rows that is used, from the start. Less than 1 makes a first run fast.
        calendar: The cycles whose sine and cosine are added as columns. They are computed from the time, and so known
            in the future.
        backtest: Train and measure each model of the data set on earlier parts of the series, too (rolling origin).
    """

    lookback: int = Field(ge=1, le=MOST_ROWS)
    horizon: int = Field(ge=1, le=MOST_ROWS)
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)
    use: float = Field(default=1.0, gt=0, le=1)
    calendar: list[Literal["hour", "weekday", "month"]] = []
    backtest: Backtest | None = None


class Recurrent(Strict):
    """The hyperparameters of every recurrent family that ends with `components.models.layers.finish`.

    Attributes:
        patch: The number of rows of a window or an image that are concatenated to one step.
        hidden: The units of a dense layer before the output; 0 for none.
        head_dropout: The dropout rate before the output.
        seasonal: Forecast from the seasons of the window, as `components.models.layers.forecast` does; series only.
    """

    patch: Patch = 1
    hidden: WidthOrZero = 0
    head_dropout: Share = 0.0
    seasonal: bool = False


class Facts(Strict):
    """The facts that a source knows about its data before anything runs.

    Attributes:
        fingerprint: A text that changes whenever the data do. It is part of the cache key of the ingest task.
        bytes: The approximate size of the ingested data set.
        rows: The number of rows of a series; None for images.
        cuts: For many series, the times in seconds since 1970 before which the training, the validation and the test
            rows lie; None where there is one series.
        left_out: Of many series, the names of those that are too short for a window in each split.
        shape: The height, width and number of channels of an image; None for a series, and where the shape isn't known
            before the images are read.
        classes: The names of the labels; empty for a series, and where they aren't known before the images are read.
        filled: The number of filled values of each column of a series.
        found: Further results of the check for the report, by name.
    """

    fingerprint: str
    bytes: int
    rows: int | None = None
    cuts: list[int] | None = None
    left_out: list[str] = []
    shape: list[int] | None = None
    classes: list[str] = []
    filled: dict[str, int] = {}
    found: dict[str, str] = {}


class Augment(Strict):
    """Random changes of training images, by layers of Keras, in this order.

    Attributes:
        flip: "horizontal" mirrors every second image left to right on average, "vertical" top to bottom.
        rotation: The largest rotation in both directions, as a share of a full turn.
        zoom: The largest zoom in and out, as a share of height and width.
        translation: The largest shift in each direction, as a share of height and width.
        brightness: The largest change of all values in both directions, as a share of their range.
        rand_augment: The strength of RandAugment, which applies two of its eleven operations to each batch (Cubuk et
            al. 2020, arXiv:1909.13719).
        mixup: The alpha of mixup, which blends each image and its label with another's (Zhang et al. 2018,
            arXiv:1710.09412). 0.2 is common. The training accuracy is that of the larger share.
    """

    flip: Literal["horizontal", "vertical"] | None = None
    rotation: float = Field(default=0.0, ge=0, le=1)
    zoom: float = Field(default=0.0, ge=0, lt=1)
    translation: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, le=1)
    rand_augment: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0, le=10)

    def any(self) -> bool:
        """Whether anything is changed."""
        return self != Augment()


class ModelSpec(Strict):
    """A model of an experiment: its architecture, its data, and its training.

    Attributes:
        family: The architecture, a file in components/families.
        dataset: The name of a data set of the same experiment.
        hyperparameters: The family's hyperparameters.
        machine: An entry of configs/machines.yaml, used where the pipeline runs in a cluster.
        epochs: The largest number of passes over the training examples.
        batch_size: The number of examples in an optimizer step, over all replicas that train together.
        per_replica: Whether batch_size and learning_rate are those of one replica. With n replicas, the batch and the
            rate are n times as large (linear scaling: Goyal et al. 2017, arXiv:1706.02677).
        optimizer: The optimizer, by its name in Keras.
        learning_rate: The highest learning rate of the schedule.
        weight_decay: The decoupled weight decay of adamw, which biases and normalizations don't have.
        ema: The momentum of an average of the weights, which replaces them after each epoch; None doesn't average.
        schedule: The schedule of the learning rate: "constant", or "cosine", which falls to zero over all steps.
        warmup: The share of all steps in which the rate first rises linearly from zero.
        patience: Stop after this many epochs without a better accuracy, or mean absolute error of a series, of the
            validation split; None never stops.
        loss: "crossentropy" (the default for classification), "mse" (the default for forecasting) or "mae". A model
            with quantiles has the pinball loss, and no other.
        quantiles: The quantiles of the target that are forecast, such as [0.1, 0.5, 0.9], in rising order: 0.5, which
            is the forecast that all other metrics measure, and pairs that add up to 1. The model learns them with the
            pinball loss, and they are calibrated on the validation split. [] gives the forecast alone; series only.
        label_smoothing: The share of each label's weight that is spread over all classes.
        class_weights: The weights of the classes in the training loss: "balanced" for examples / (classes * examples of
            the class), or a weight by the name of a class, such as {cat: 2}, where the others have 1. Metrics and the
            validation loss have no weights.
        augment: Random changes of training images, such as {rotation: 0.05, zoom: 0.1}. No other image is changed.
        flip: Mirror each training image left to right in every second epoch, half of the images in the first one.
        average_flips: Predict with the mean of an image's logits and those of its mirror image. The saved model and all
            exports do it, and take twice as long for an answer. Training and its validations don't.
        calibrate: Divide a classifier's logits by a temperature, which is fitted on the validation split. Then its
            probabilities are about the shares of right predictions.
        on_nan: The action where the loss or a weight isn't finite: "fail", or "rollback" to the last checkpoint with
            half the learning rate, at most three times. Which checkpoint is the last one depends on the time.
        checkpoint_seconds: A checkpoint is saved when the last one is this old, and at each epoch's end.
        threads: The number of threads of an operation on a CPU; None for all cores. Small matrices are faster with one
            thread. The last bits of a CNN's weights depend on it. A run on one machine trains models side by side
            where their threads together are at most its cores.
        histograms: Write the distributions of the weights to TensorBoard after every epoch.
        keep_checkpoints: The number of checkpoints that stay, at steps drawn by the seed, for `prove` and `audit`; 0
            keeps none. Two more stay with them, that of the start and the one before the best epoch's end. For
            trainings on a CPU.
    """

    family: str
    dataset: str
    hyperparameters: dict[str, object] = {}
    machine: str | None = None
    epochs: Epochs = 10
    batch_size: int = Field(default=128, ge=1, le=1_000_000)
    per_replica: bool = False
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0, le=1000)
    weight_decay: float = Field(default=0.0, ge=0, le=1000)
    ema: float | None = Field(default=None, gt=0, lt=1)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Share = 0.0
    patience: Epochs | None = None
    loss: Literal["crossentropy", "mse", "mae"] | None = None
    quantiles: Quantiles = []
    label_smoothing: Share = 0.0
    class_weights: ClassWeights | None = None
    augment: Augment = Augment()
    flip: bool = False
    average_flips: bool = False
    calibrate: bool = True
    on_nan: Literal["fail", "rollback"] = "fail"
    checkpoint_seconds: float = Field(default=60.0, ge=0, le=86_400)
    threads: int | None = Field(default=None, ge=1, le=1024)
    histograms: bool = False
    keep_checkpoints: int = Field(default=0, ge=0, le=100)
