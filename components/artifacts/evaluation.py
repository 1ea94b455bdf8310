"""The folder that evaluate writes.

evaluation.json    an `Evaluation`
predictions.npz    `target` and `prediction` of all test examples, in their order
"""

from pathlib import Path
from typing import TYPE_CHECKING

from components.common.files import write_text
from components.common.spec import Strict

if TYPE_CHECKING:
    import numpy as np

_EVALUATION = "evaluation.json"
_PREDICTIONS = "predictions.npz"


class Bin(Strict):
    """Predictions of about the same confidence.

    Attributes:
        confidence: Their mean probability of the class that they predict.
        accuracy: The share of them that is right.
        examples: How many they are.
    """

    confidence: float
    accuracy: float
    examples: int


class Calibration(Strict):
    """Whether a classifier's probabilities are what they say.

    Attributes:
        ece: Expected calibration error: the mean distance of accuracy and confidence, over all examples.
        bins: Without the empty ones.
    """

    ece: float
    bins: list[Bin]


class Mistake(Strict):
    """A wrong prediction.

    Attributes:
        example: Its place in the test split, from 0.
        label: The right class.
        predicted: The class that was predicted.
        probability: Of the predicted one.
        file: The name of the image's file; empty where there is none.
    """

    example: int
    label: int
    predicted: int
    probability: float
    file: str = ""


class Window(Strict):
    """A window to look at.

    Attributes:
        name: "good", "median" or "worst"; of few windows "best" for "good", and of a single one "only".
        example: Its place in the test split, from 0.
        mae: Of its forecast, in the target's unit.
    """

    name: str
    example: int
    mae: float


class Latency(Strict):
    """How long the model takes on the machine that evaluated it.

    Attributes:
        batch: Examples at a time.
        median_ms: Milliseconds for a batch.
        p95_ms: The 95th percentile.
        examples_per_second: At the median.
    """

    batch: int
    median_ms: float
    p95_ms: float
    examples_per_second: float


class Evaluation(Strict):
    """How a model does on the test split.

    Attributes:
        model: The model's name.
        metrics: accuracy, loss and macro_f1; or mae, rmse (in the target's unit) and mase.
        intervals: 95 % interval of each.
        confusion: How often each label (row) was predicted as each (column); classification only.
        per_class: precision, recall, f1-score and support of each class; classification only.
        calibration: Of the probabilities; classification only.
        mistakes: The most confident ones, first; classification only.
        per_step: Each metric at each step ahead; forecasting only.
        per_hour: The mae of all forecasts for each hour of the day; of a series with several rows a day.
        windows: A good, a median and the worst forecast, each once; forecasting only.
        latency: Of the Keras model, for some sizes of a batch.
    """

    model: str
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    confusion: list[list[int]] = []
    per_class: dict[str, dict[str, float]] = {}
    calibration: Calibration | None = None
    mistakes: list[Mistake] = []
    per_step: dict[str, list[float]] = {}
    per_hour: dict[str, float] = {}
    windows: list[Window] = []
    latency: list[Latency] = []


def save_evaluation(folder: Path, evaluation: Evaluation, target: "np.ndarray", prediction: "np.ndarray") -> None:
    """Write an evaluation.

    Args:
        folder: Where to write.
        evaluation: What was measured.
        target: int64 [examples], or float32 [examples, horizon].
        prediction: float32 [examples, classes], or [examples, horizon].
    """
    import numpy as np

    np.savez(folder / _PREDICTIONS, target=target, prediction=prediction)
    write_text(folder / _EVALUATION, evaluation.model_dump_json(indent=2) + "\n")


def load_evaluation(folder: Path | str) -> Evaluation:
    """Read what was measured."""
    return Evaluation.model_validate_json((Path(folder) / _EVALUATION).read_text(encoding="utf-8"))


def load_predictions(folder: Path | str) -> "tuple[np.ndarray, np.ndarray]":
    """Read targets and predictions, as `save_evaluation` takes them."""
    import numpy as np

    with np.load(Path(folder) / _PREDICTIONS, allow_pickle=False) as saved:
        return saved["target"], saved["prediction"]
