"""Predict all examples of a file or a folder, as a stream."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.common.errors import InputError
from components.common.words import counted
from components.data.new.batches import EXAMPLES, Batch, load_batches
from components.data.new.example import Example, Failure
from components.data.new.files import READABLE, count_others, find_files, fingerprint
from components.data.new.images import read_images
from components.data.new.series import read_windows
from components.models.model_folder import ModelFolder, Predict, find_model, load_predict
from components.predict.predictions_file import PredictionsFile, Progress
from components.readers.csv_regular import Changes

Rows = list[dict[str, object]]


def predict(
    model: str,
    source: str,
    output: str,
    every_window: bool = False,
    progress: Callable[[int], object] = lambda read: None,
    registry: Path | None = None,
) -> Progress:
    """Write a JSON line for each example, and a line with the reason to `<output>.errors.jsonl` for each that fails.

    The line of an image is {"id", "class", "probability", "probabilities": {class: probability}}. The line of a window
    is {"id", "times", "values"}: the times of the horizon, and the target's values there. Of a model of many series, it
    has the name of its "series", too. A model with quantiles gives the medians as values, and the others by their
    names, such as "forecast_p10".

    Memory doesn't grow with the input. An interrupted call that is repeated continues where the first one stopped,
    unless the input or the model has changed. The result is the same to the byte.

    Args:
        model: The model's folder, from export or from the registry.
        source: A file or a folder, in a format of `components.data.new.files.READABLE`.
        output: The file to write. Its name ends with .jsonl, and it appears when it is complete.
        every_window: Whether every window of a series is forecast from, not only its last one.
        progress: A function that is called with the number of examples read so far.
        registry: The registry that has to have written the model; None allows any folder.

    Returns:
        The numbers of predictions and failures.

    Raises:
        InputError: The model isn't the registry's or was changed, the input has nothing that the model can read, no
            example can be predicted, or the output can't be written.
    """
    model_folder = find_model(model, registry)
    info = model_folder.info
    path = find_files(source, info.task)
    if every_window and isinstance(info, ImagesInfo):
        raise InputError("every window: the model is one of images, expected one of a series")
    inputs = [model_folder.sha256, fingerprint(path, info.task), every_window, EXAMPLES]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    changes = Changes()
    if isinstance(info, ImagesInfo):
        examples = read_images(path, info)
    else:
        examples = read_windows(path, info, every_window, changes)
    try:
        with closing(PredictionsFile(Path(output), key)) as file:
            _write_all(model_folder, examples, file, progress)
            totals = file.progress
            if not totals.predicted:
                first = file.first_failure()
                file.remove()
                raise InputError(f"{source}: {_why_nothing(first, totals.failed)}")
            file.finish()
    except OSError as error:
        raise InputError(f"{output}: {error.strerror or error}; what was predicted stays for another try") from None
    failed = f", {totals.failed:,} failed, see {file.errors}" if totals.failed else ""
    print(f"{counted(totals.predicted, 'prediction')} in {output}{failed}", flush=True)
    if others := count_others(path, info.task):
        print(f"passed over {counted(others, 'other file')}, expected {READABLE[info.task]}", flush=True)
    if changes.filled:
        values = ", ".join(f"{count:,} of {column}" for column, count in changes.filled.items())
        print(f"missing values of the input were filled: {values}", flush=True)
    return totals


def _write_all(
    folder: ModelFolder, examples: Iterator[Example | Failure], file: PredictionsFile, progress: Callable[[int], object]
) -> None:
    """Predict and write all examples, but for those that an interrupted call has written."""
    start = file.progress.read
    if start:
        print(f"going on after {counted(start, 'example')}", flush=True)
    model: Predict | None = None
    for batch in load_batches(islice(examples, start, None), folder.info):
        predictions: Rows = []
        failures: Rows = [asdict(failure) for failure in batch.failures]
        if batch.examples:
            model = model or load_predict(folder)
            predictions, not_finite = _rows(batch, model(batch.inputs), folder.info)
            failures += not_finite
        file.write(predictions, failures)
        progress(file.progress.read)


def _why_nothing(first: dict[str, str] | None, failed: int) -> str:
    """The reason why nothing was predicted: the first failure, and the number of the others."""
    if first is None:
        return "no examples in it"
    others = f" (and {counted(failed - 1, 'other')})" if failed > 1 else ""
    return f"nothing can be predicted: {first['id']}: {first['reason']}{others}"


def _rows(batch: Batch, outputs: np.ndarray, info: DatasetInfo) -> tuple[Rows, Rows]:
    """The lines of the predictions, and those of the examples for which the model's outputs aren't finite."""
    rows: Rows = []
    failures: Rows = []
    for example, values in zip(batch.examples, outputs, strict=True):
        if not np.isfinite(values).all():
            failures.append(asdict(Failure(example.id, "the model's answer is not finite")))
            continue
        if isinstance(info, ImagesInfo):
            numbers = _numbers(values)
            best = int(values.argmax())
            label = {"class": info.classes[best], "probability": numbers[best]}
            rows.append({"id": example.id, **label, "probabilities": dict(zip(info.classes, numbers, strict=True))})
        else:
            times = [time.isoformat() for time in example.times]
            series = {"series": example.series} if example.series else {}
            forecasts = zip(info.outputs, values.reshape(info.horizon, -1).T, strict=True)
            named = {name if name != "forecast" else "values": _numbers(forecast) for name, forecast in forecasts}
            rows.append({"id": example.id, **series, "times": times, "values": named.pop("values"), **named})
    return rows, failures


def _numbers(values: np.ndarray) -> list[float]:
    """The shortest decimal numbers that stand for float32 values, which str() gives."""
    return [float(str(value)) for value in values]
