"""The metrics of both tasks, the same for models and for baselines.

A new metric is computed here and, for its interval, in components/evaluate/evaluate.py. It is listed in `METRICS` of
components/artifacts/leaderboard.py.
"""

import numpy as np
from sklearn.metrics import f1_score, log_loss

from components.artifacts.dataset import SeriesInfo


def classification(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, cross-entropy loss and macro F1.

    Args:
        labels: The labels, int64 [examples].
        probabilities: The probabilities, float [examples, classes].
    """
    classes = np.arange(probabilities.shape[1])
    # Rows of float32 sum to 1 within 1e-6, and log_loss needs them closer to it.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": float((predicted == labels).mean()),
        "loss": float(log_loss(labels, exact, labels=classes)),
        "macro_f1": float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
    }


def forecasting(target: np.ndarray, forecast: np.ndarray, info: SeriesInfo) -> dict[str, float]:
    """Mean absolute error, root mean squared error (both in the target's unit) and MASE.

    Args:
        target: The targets, float [windows, horizon].
        forecast: The forecasts, in the same shape.
        info: The description of the series, which has the scale of MASE.
    """
    error = forecast.astype(np.float64) - target
    mae = float(np.abs(error).mean())
    return {"mae": mae, "rmse": float(np.sqrt((error**2).mean())), "mase": mae / info.seasonal_error}
