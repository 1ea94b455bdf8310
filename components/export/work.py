"""Export a model and compare what was exported with the model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components import inputs
from components.dataset import FILE as DATASET
from components.dataset import DatasetInfo, ImagesInfo
from components.export.training_data import reference
from components.exported import FILE, GOLDEN, SAVED_MODEL, Exported, Format, Golden
from components.files import whole_folder, write_text
from components.model import KERAS_FILE, load
from components.reference import write_reference

EXAMPLES = 64
# Of them, those in the golden request: an image is some thousand numbers of JSON.
GOLDEN_EXAMPLES = 2
# Another process may order float32 sums otherwise; relative to the largest output.
TOLERANCE = 1e-5


def export(model_folder: str, dataset: str, folder: str) -> Exported:
    """Write the serving formats of a model.

    Args:
        model_folder: What train wrote.
        dataset: The data set that the model was trained on.
        folder: The folder to write: `model.keras`, `saved_model/` and `export.json`; for predictions the data set's
            `dataset.json`, and for drift `reference.json`.

    Returns:
        What was written to `export.json`.

    Raises:
        RuntimeError: A format, loaded in a fresh process, doesn't give what the model gives.
    """
    # It imports TensorFlow while this process traces the model.
    fresh = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).with_name("fresh_process.py"))],
        stdin=subprocess.PIPE,
        text=True,
    )
    model, model_info, info = load(model_folder, dataset)
    batch, _ = next(inputs.in_order(dataset, info, "test", EXAMPLES).as_numpy_iterator())
    expected = np.asarray(model.predict_on_batch(batch))
    with whole_folder(Path(folder)) as new:
        shutil.copyfile(Path(model_folder) / KERAS_FILE, new / KERAS_FILE)
        output = write_saved_model(model, info, new / SAVED_MODEL)
        named = {"image": batch} if isinstance(info, ImagesInfo) else batch
        np.savez(new / "inputs.npz", **named)
        task = {
            "saved_model": str(new / SAVED_MODEL),
            "inputs": str(new / "inputs.npz"),
            "outputs": str(new / "got.npz"),
        }
        fresh.communicate(json.dumps(task))
        if fresh.returncode:
            raise RuntimeError(f"model {model_info.name}: the SavedModel can't be used in a fresh process")
        with np.load(new / "got.npz", allow_pickle=False) as got:
            difference = float(np.abs(got[output] - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise RuntimeError(f"model {model_info.name}: the SavedModel differs from the model by {difference}")
        (new / "inputs.npz").unlink()
        (new / "got.npz").unlink()
        exported = Exported(
            model=model_info.name,
            formats={
                "keras": Format(path=KERAS_FILE, bytes=_size(new / KERAS_FILE), max_abs_difference=0.0),
                SAVED_MODEL: Format(path=SAVED_MODEL, bytes=_size(new / SAVED_MODEL), max_abs_difference=difference),
            },
        )
        golden = Golden(
            instances=[{name: values[i].tolist() for name, values in named.items()} for i in range(GOLDEN_EXAMPLES)],
            predictions=expected[:GOLDEN_EXAMPLES].astype(float).tolist(),
        )
        shutil.copyfile(Path(dataset) / DATASET, new / DATASET)
        write_reference(reference(model, dataset, info), new)
        write_text(new / GOLDEN, golden.model_dump_json() + "\n")
        write_text(new / FILE, exported.model_dump_json(indent=2) + "\n")
    print(f"saved_model: {exported.formats[SAVED_MODEL].bytes:,} bytes, largest difference {difference:.1e}")
    return exported


def write_saved_model(model: keras.Model, info: DatasetInfo, path: Path) -> str:
    """Write a SavedModel whose `serving_default` takes raw inputs by name.

    Returns:
        The name of its output: `probabilities` or `forecast`.
    """
    names = [tensor.name for tensor in model.inputs]
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in model.inputs]
    output = "probabilities" if info.task == "classification" else "forecast"

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        by_name = dict(zip(names, tensors, strict=True))
        return {output: model(by_name if len(by_name) > 1 else tensors[0], training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve, input_signature=specs)
    archive.write_out(str(path), verbose=False)
    return output


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
