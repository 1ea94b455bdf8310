"""What an experiment says of a data set and of a model, as the steps receive it.

No TensorFlow here: the command line and the compiler read these too.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["classification", "forecasting"]


class Strict(BaseModel):
    """A model that refuses unknown keys and never converts types, so that "3" is not taken for 3."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# Limits of what an experiment may ask for, far above what is of use, so that a slip is found at once: a training that
# has no end, or weights that fit into no memory.
MOST_EPOCHS = 100_000
MOST_ROWS = 100_000  # of a window
Width = Annotated[int, Field(ge=1, le=16_384)]
WidthOrZero = Annotated[int, Field(ge=0, le=16_384)]
Kernel = Annotated[int, Field(ge=1, le=255)]
Patch = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Epochs = Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
Share = Annotated[float, Field(ge=0, lt=1)]
MOST_LAYERS = 100


class ImageOptions(Strict):
    """What every source of labelled images understands.

    Attributes:
        validation: Share of the training images held back to select the best epoch.
        use: Share of the data that is used; less than 1 for a first look.
    """

    validation: float = Field(default=1 / 12, gt=0, lt=1)
    use: float = Field(default=1.0, gt=0, le=1)


class SeriesOptions(Strict):
    """What every source of a time series understands.

    Attributes:
        lookback: Rows that a model sees before the first it forecasts.
        horizon: Rows that it forecasts.
        validation: Share of the rows, before the test rows, that selects the best epoch.
        test: Share of the rows, the last ones, that nothing before evaluate reads.
        use: Share of the rows that is used, counted from the start; less than 1 for a first look.
        calendar: Columns derived from the time, known in the future: sine and cosine of each cycle.
    """

    lookback: int = Field(ge=1, le=MOST_ROWS)
    horizon: int = Field(ge=1, le=MOST_ROWS)
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)
    use: float = Field(default=1.0, gt=0, le=1)
    calendar: list[Literal["hour", "weekday", "month"]] = []


class Recurrent(Strict):
    """Hyperparameters that every recurrent family with `components.models.layers.finish` at its end has.

    Attributes:
        patch: Rows of a window side by side in one step.
        hidden: Width of a dense layer before the output; 0 for none.
        head_dropout: Share dropped before the output.
        seasonal: Forecast from the seasons of the window, see `components.models.layers.forecast`; series only.
    """

    patch: Patch = 1
    hidden: WidthOrZero = 0
    head_dropout: Share = 0.0
    seasonal: bool = False


class Facts(Strict):
    """What a source tells about its data before anything runs.

    Attributes:
        fingerprint: Changes whenever the data do; part of the cache key of the ingest task.
        bytes: About how much disk the ingested data set will take.
        rows: Rows of a series; None for images.
        shape: Height, width and channels of an image; None where that isn't known before it is read, and for a series.
        filled: Of a series, the values that were filled, by column.
        found: What else a report should tell, in a few words, by name.
    """

    fingerprint: str
    bytes: int
    rows: int | None = None
    shape: list[int] | None = None
    filled: dict[str, int] = {}
    found: dict[str, str] = {}


class ModelSpec(Strict):
    """A model of an experiment: what is built, on which data, and how it is trained.

    Attributes:
        family: The architecture, a file in components/families.
        dataset: A data set of the same experiment.
        hyperparameters: The family's own.
        machine: An entry of configs/machines.yaml, used where the pipeline runs in a cluster.
        epochs: At most so many passes over the training examples.
        batch_size: Examples per optimizer step, over all replicas that train together.
        per_replica: batch_size and learning_rate are for one replica: with n of them the batch is n times as
            large, and so is the rate (linear scaling: Goyal et al. 2017, arXiv:1706.02677).
        optimizer: Keras' name of it.
        learning_rate: The highest one of the schedule.
        weight_decay: Decoupled weight decay, for adamw.
        ema: Momentum of an average of the weights, which takes their place at the end of each epoch; None
            doesn't average.
        schedule: "constant", or "cosine": down to zero over all steps.
        warmup: Share of all steps in which the rate first rises linearly from zero.
        patience: Stop after so many epochs without a better validation loss or accuracy; None never stops.
        loss: "crossentropy" (the default for classification), "mse" (for forecasting) or "mae".
        label_smoothing: Share of each label's weight spread over all classes.
        flip: Mirror training images left to right at random.
        on_nan: Where the loss or a weight isn't finite any more: "fail", or "rollback" to the last checkpoint with
            half the learning rate, three times at most. Where that lies depends on the time.
        checkpoint_seconds: A checkpoint is saved when the last one is so old, and at each epoch's end.
        histograms: Show TensorBoard how the weights are distributed, after every epoch.
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
    label_smoothing: Share = 0.0
    flip: bool = False
    on_nan: Literal["fail", "rollback"] = "fail"
    checkpoint_seconds: float = Field(default=60.0, ge=0, le=86_400)
    histograms: bool = False
