"""The folder that evaluate writes, as the steps after it read it."""

from components.spec import Strict

FILE = "evaluation.json"
PREDICTIONS = "predictions.npz"


class Evaluation(Strict):
    """How a model does on the test split.

    Attributes:
        model: The model's name.
        metrics: accuracy, loss and macro_f1; or mae, rmse (in the target's unit) and mase.
        intervals: 95 % interval of each.
        confusion: How often each label (row) was predicted as each (column); classification only.
        per_class: precision, recall, f1-score and support of each class; classification only.
        per_step: Each metric at each step ahead; forecasting only.
    """

    model: str
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    confusion: list[list[int]] = []
    per_class: dict[str, dict[str, float]] = {}
    per_step: dict[str, list[float]] = {}
