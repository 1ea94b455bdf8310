"""Measure a model on the test split."""

from pathlib import Path

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.artifacts.evaluation import Evaluation, save_evaluation
from components.artifacts.model import compiled
from components.artifacts.series_table import SeriesTable, load_table
from components.common.events import measured_alone
from components.common.files import atomic_directory
from components.data import input_pipeline, storage
from components.evaluate import diagnostics
from components.evaluate.latency import latencies
from components.families import load_model
from components.metrics import bootstrap, metrics
from components.readers.time_axis import Frequency

BATCH = 512


def evaluate(model_folder: str, dataset: str, seed: int, folder: str) -> Evaluation:
    """Predict the test split and measure.

    Args:
        model_folder: The folder that train wrote.
        dataset: The folder of the data set that the model was trained on.
        seed: The seed of the resampling for intervals.
        folder: The folder to write: `evaluation.json` and `predictions.npz` (target, prediction).

    Returns:
        The content of `evaluation.json`.
    """
    model, model_info, info = load_model(model_folder, dataset)
    batches = input_pipeline.sequential_batches(dataset, info, "test", BATCH)
    call = compiled(model, info)
    answered = [(call(x).numpy(), y.numpy()) for x, y in batches]
    prediction, target = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    places = None
    if isinstance(info, ImagesInfo):
        files = storage.load_names(dataset, info, "test")
        evaluation = _classification(model_info.name, target, prediction, files, info, seed)
    else:
        times, table = storage.load_times(dataset, info, "test"), load_table(dataset, info)
        places = table.places(info, "test", times)
        evaluation = _forecasting(model_info.name, target, prediction, times, table, info, seed, places)
    examples, _ = next(batches.as_numpy_iterator())
    with measured_alone():
        evaluation = evaluation.model_copy(update={"latency": latencies(call, examples)})
    with atomic_directory(Path(folder)) as new:
        save_evaluation(new, evaluation, target, prediction, places)
    for name, value in evaluation.metrics.items():
        low, high = evaluation.intervals[name]
        print(f"{name} {value:.4f}  (95 % interval {low:.4f} to {high:.4f})", flush=True)
    return evaluation


def _classification(
    name: str, labels: np.ndarray, probabilities: np.ndarray, files: list[str], info: ImagesInfo, seed: int
) -> Evaluation:
    measured = (info.task, labels, probabilities)
    predicted, classes = probabilities.argmax(axis=1), range(len(info.classes))
    report = classification_report(
        labels, predicted, labels=classes, target_names=info.classes, output_dict=True, zero_division=0
    )
    return Evaluation(
        model=name,
        metrics=metrics.measure(*measured),
        intervals=bootstrap.intervals(metrics.resampled(*measured), len(labels), seed, info.block),
        confusion=confusion_matrix(labels, predicted, labels=classes).tolist(),
        per_class={c: {k: float(v) for k, v in report[c].items()} for c in info.classes},
        calibration=diagnostics.calibration(labels, probabilities),
        mistakes=diagnostics.mistakes(labels, probabilities, files),
    )


def _forecasting(
    name: str,
    target: np.ndarray,
    forecasts: np.ndarray,
    times: np.ndarray,
    table: SeriesTable,
    info: SeriesInfo,
    seed: int,
    places: np.ndarray | None,
) -> Evaluation:
    numbers = table.numbers(info, "test")
    scale = table.scale[numbers]
    measured = (info.task, target, forecasts, table.scales(info, "test"), info.quantiles)
    forecast = metrics.point_forecast(forecasts)
    error = forecast.astype(np.float64) - target
    step = Frequency(info.frequency).seconds
    within_a_day = step is not None and step < diagnostics.DAY
    first = table.first_rows(info, "test") + info.lookback
    mae = np.abs(error).mean(axis=0)
    mase = np.abs(error / scale[:, None]).mean(axis=0) if info.series else mae / info.seasonal_error
    return Evaluation(
        model=name,
        metrics=metrics.measure(*measured),
        intervals=bootstrap.intervals(metrics.resampled(*measured), len(target), seed, info.block, places),
        per_step={
            "mae": mae.tolist(),
            "rmse": np.sqrt((error**2).mean(axis=0)).tolist(),
            "mase": mase.tolist(),
        },
        per_hour=diagnostics.per_hour(error, times, first) if within_a_day else {},
        windows=diagnostics.windows(error, table.names[numbers]),
        series=diagnostics.each_series(target, forecasts, table.names, numbers, scale, info.quantiles)
        if info.series
        else [],
    )
