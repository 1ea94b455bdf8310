"""The folder that evaluate writes.

evaluation.json    an `Evaluation`
predictions.npz    `target` and `prediction` of all test examples, in their order, and `quantiles` where there are some
"""

from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts.json_file import JsonFile
from components.common.spec import Strict
from components.metrics.metrics import point_forecast

if TYPE_CHECKING:
    import numpy as np

PREDICTIONS = "predictions.npz"


class Bin(Strict):
    """Predictions of about the same confidence.

    Attributes:
        confidence: The mean probability of the predicted class.
        accuracy: The share of the predictions that are right.
        examples: The number of predictions.
    """

    confidence: float
    accuracy: float
    examples: int


class Mistake(Strict):
    """A wrong prediction.

    Attributes:
        example: The example's position in the test split, from 0.
        label: The right class.
        predicted: The class that was predicted.
        probability: The probability of the predicted class.
        file: The name of the image's file; empty where it has none.
    """

    example: int
    label: int
    predicted: int
    probability: float
    file: str = ""


class Window(Strict):
    """A window that the report shows.

    Attributes:
        name: "good", "median" or "worst". Where windows are few, "best" stands for "good", and a single one is "only".
        example: The window's position in the test split, from 0.
        mae: The mean absolute error of its forecast, in the target's unit.
        series: The name of its series; empty where there is one series.
    """

    name: str
    example: int
    mae: float
    series: str = ""


class OneOfMany(Strict):
    """The results of one of many series.

    Attributes:
        name: The series' name.
        windows: The number of its test windows.
        metrics: The metrics of its own test windows.
    """

    name: str
    windows: int
    metrics: dict[str, float]


class Latency(Strict):
    """The latency of the model on the machine that evaluated it.

    Attributes:
        batch: The number of examples in a batch.
        median_ms: The median time of a batch, in milliseconds.
        p95_ms: The 95th percentile of the time of a batch, in milliseconds.
        examples_per_second: The batch size divided by the median time.
    """

    batch: int
    median_ms: float
    p95_ms: float
    examples_per_second: float


class Evaluation(JsonFile):
    """The results of a model on the test split.

    Attributes:
        model: The model's name.
        metrics: The metrics of its task, as `components.metrics.metrics` has them.
        intervals: The 95 % interval of each metric.
        confusion: The number of examples of each label (row) that were predicted as each label (column);
            classification only.
        per_class: The precision, recall, f1-score and support of each class; classification only.
        calibration: The accuracy by confidence: whether predictions with a probability of 80 % are right in 80 % of the
            cases. These are the bins that have predictions, by rising confidence; classification only.
        mistakes: The wrong predictions with the highest probabilities, in falling order; classification only.
        per_step: mae, rmse and mase at each step ahead; forecasting only.
        per_hour: The mae of all forecasts for each hour of the day; only for series with several rows a day.
        windows: A good, a median and the worst forecast, each once; forecasting only.
        series: The results of each of many series, the largest mase first; empty where there is one series.
        latency: The latency of the Keras model for some batch sizes.
    """

    FILE = "evaluation.json"
    model: str
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    confusion: list[list[int]] = []
    per_class: dict[str, dict[str, float]] = {}
    calibration: list[Bin] = []
    mistakes: list[Mistake] = []
    per_step: dict[str, list[float]] = {}
    per_hour: dict[str, float] = {}
    windows: list[Window] = []
    series: list[OneOfMany] = []
    latency: list[Latency] = []


def save_evaluation(
    folder: Path,
    evaluation: Evaluation,
    target: "np.ndarray",
    prediction: "np.ndarray",
    places: "np.ndarray | None" = None,
) -> None:
    """Write the folder of an evaluation.

    Args:
        folder: The folder.
        evaluation: The results.
        target: The labels, int64 [examples]; or the targets, float32 [examples, horizon].
        prediction: The probabilities, float32 [examples, classes]; or the forecasts, float32 [examples, horizon], or
            with quantiles [examples, horizon, quantiles].
        places: For the windows of many series, what `load_places` returns; None where there is one series.
    """
    import numpy as np

    arrays = {"target": target, "prediction": point_forecast(prediction)}
    if prediction.ndim > 2:
        arrays["quantiles"] = prediction
    if places is not None:
        arrays["places"] = places
    np.savez(folder / PREDICTIONS, **arrays)  # type: ignore[arg-type]  # the stub mistakes them for allow_pickle
    evaluation.save(folder)


def _predictions(folder: Path | str) -> "np.lib.npyio.NpzFile":
    import numpy as np

    return np.load(Path(folder) / PREDICTIONS, allow_pickle=False)


def load_quantiles(folder: Path | str) -> "np.ndarray | None":
    """Read the forecasts of all quantiles, float32 [examples, horizon, quantiles]; None where there are none."""
    with _predictions(folder) as saved:
        return saved.get("quantiles")


def load_predictions(folder: Path | str) -> "tuple[np.ndarray, np.ndarray]":
    """Read targets and predictions, in the shapes that `save_evaluation` has. Of quantiles it reads the median."""
    with _predictions(folder) as saved:
        return saved["target"], saved["prediction"]


def load_places(folder: Path | str) -> "np.ndarray | None":
    """Read the number of the series, and the place in time, of each test window of many series; None of one series.

    Both begin at 0. Windows of different series that begin at the same time have the same place in time.

    Returns:
        int64 [windows, 2], or None.
    """
    with _predictions(folder) as saved:
        return saved.get("places")
