"""Export a model to serving formats, and test each in a fresh process."""

import math
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.export import (
    ONNX,
    SAVED_MODEL,
    Blessing,
    Exported,
    Format,
    Golden,
    OptionalFormat,
)
from components.artifacts.model import KERAS_FILE, Call, compiled
from components.common.files import atomic_directory, folder_digest
from components.data import input_pipeline
from components.export import quantize
from components.export.formats import with_named_outputs, write_litert, write_onnx, write_saved_model
from components.export.golden import golden_request
from components.export.parity import BATCHES, TOLERANCE, Examples, compare_outputs, size_of
from components.export.training_data import training_profile
from components.families import load_model
from components.models.fresh.process import start

FILES: dict[OptionalFormat, str] = {"litert": "model.tflite", "litert_int8": "model_int8.tflite", "onnx": ONNX}


def export(model_folder: str, dataset: str, folder: str, formats: Sequence[OptionalFormat] = ()) -> Exported:
    """Write the serving formats of a model.

    Args:
        model_folder: The folder that train wrote.
        dataset: The folder of the data set that the model was trained on.
        folder: The folder to write. `components.artifacts.export` describes it.
        formats: Further formats. A format that can't be written, or whose outputs differ from the model's, is refused,
            and the others are written.

    Returns:
        The content of `export.json`.

    Raises:
        RuntimeError: The outputs of the SavedModel in a fresh process differ from the model's.
    """
    # The fresh process imports TensorFlow while this process traces the model.
    with start(SAVED_MODEL) as fresh, tempfile.TemporaryDirectory() as scratch, atomic_directory(Path(folder)) as new:
        model, model_info, info = load_model(model_folder, dataset)
        shutil.copyfile(Path(model_folder) / KERAS_FILE, new / KERAS_FILE)
        call = compiled(model, info)
        examples, golden = _examples(call, dataset, info, Path(scratch))
        golden.save(new)
        served = with_named_outputs(model, info)
        write_saved_model(served, info, new / SAVED_MODEL)
        try:
            saved_model, result = compare_outputs(fresh, new / SAVED_MODEL, examples, golden=str(new / Golden.FILE))
        except RuntimeError as error:
            raise RuntimeError(f"model {model_info.name}: the SavedModel {error}") from None
        faults = [f"takes {request}" for request in result["accepted"]]
        if not golden.agrees(result["predictions"], TOLERANCE):
            faults.append("answers the golden request wrongly")
        # The other formats are compared with the model of the Keras file, which was loaded in this process.
        keras_file = Format(path=KERAS_FILE, bytes=size_of(new / KERAS_FILE), max_abs_difference=0.0)
        exported = Exported(
            model=model_info.name,
            formats={"keras": keras_file, SAVED_MODEL: saved_model}
            | {name: _optional(name, model, served, dataset, info, new, examples) for name in formats},
            blessing=Blessing(saved_model_sha256=folder_digest(new / SAVED_MODEL), faults=faults),
        )
        info.save(new)
        training_profile(call, dataset, info).save(new)
        exported.save(new)
    for name, written in exported.formats.items():
        print(f"{name}: {_summary(written)}", flush=True)
    print(f"{SAVED_MODEL}: {', '.join(faults) or 'may be registered'}", flush=True)
    return exported


def _examples(call: Call, dataset: str, info: DatasetInfo, scratch: Path) -> tuple[Examples, Golden]:
    """Test examples with the model's outputs, for the comparison of formats and for the golden request."""
    batch, _ = next(input_pipeline.sequential_batches(dataset, info, "test", sum(BATCHES)).as_numpy_iterator())
    inputs = {"image": batch} if isinstance(info, ImagesInfo) else batch
    # A test split with fewer examples is repeated.
    inputs = {name: np.resize(values, (sum(BATCHES), *values.shape[1:])) for name, values in inputs.items()}

    def outputs(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return call(inputs["image"] if isinstance(info, ImagesInfo) else inputs).numpy()

    expected = outputs(inputs)
    np.savez(scratch / "inputs.npz", **inputs)
    examples = Examples(scratch / "inputs.npz", expected, info.outputs, info.task == "classification")
    return examples, golden_request(inputs, outputs, info.outputs)


def _optional(
    name: OptionalFormat,
    model: keras.Model,
    served: keras.Model,
    dataset: str,
    info: DatasetInfo,
    folder: Path,
    examples: Examples,
) -> Format:
    """Write a format of the served model and test it, or refuse it."""
    path = folder / FILES[name]
    quantized = name == "litert_int8"
    left_in_float = None
    try:
        if name == "onnx":
            write_onnx(served, path)
        elif quantized:
            left_in_float = quantize.write_litert_int8(served, quantize.representative(dataset, info), path)
        else:
            write_litert(served, path)
    except Exception as error:  # converters raise what their operations raise
        path.unlink(missing_ok=True)
        return Format(refused=_error_line(error))
    try:
        with start("onnx" if name == "onnx" else "litert") as fresh:
            written, _ = compare_outputs(fresh, path, examples, math.inf if quantized else TOLERANCE)
        quality = quantize.measure(path, model, dataset, info, examples.inputs.parent) if quantized else None
    except RuntimeError as error:
        path.unlink()
        return Format(refused=str(error))
    if quality and (refused := quantize.why_refused(quality)):
        path.unlink()
        return Format(refused=refused, quality=quality)
    batch = None if name == "onnx" else 1
    return written.model_copy(update={"batch": batch, "left_in_float": left_in_float, "quality": quality})


def _error_line(error: Exception) -> str:
    """The message of a converter's error, in one line."""
    if operations := re.search(r"^(?:Custom|Flex) ops: (.+)", str(error), re.MULTILINE):
        return f"LiteRT has no operation for {operations[1]}"
    line = (str(error).strip() or "no reason given").splitlines()[0][:200]
    return line if isinstance(error, NotImplementedError) else f"{type(error).__name__}: {line}"


def _summary(result: Format) -> str:
    if result.refused:
        return f"refused, {result.refused}"
    cost = f"; {result.quality}" if result.quality else ""
    return f"{result.bytes:,} bytes, largest difference {result.max_abs_difference:.1e}{cost}"
