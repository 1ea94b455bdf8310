"""The file `MLmodel`, by which MLflow takes an export folder for a model of its own."""

import json
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow
import numpy as np
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from components.artifacts.dataset import load_info
from components.artifacts.export import ONNX
from components.artifacts.model import KERAS_FILE
from components.common.files import write_text
from components.models.model_folder import Spec, expected_specs

FILE = "MLmodel"
_REQUIREMENTS = "requirements.txt"
_PYTHON = "python_env.yaml"


def write_mlmodel(export: Path, run_id: str, path: str, folder: Path) -> None:
    """Write what MLflow wants beside the files of an export folder.

    `mlflow.keras.load_model` loads the Keras file. `mlflow.pyfunc` and `mlflow models serve` load the ONNX file where
    there is one, for it needs no TensorFlow, or else the Keras file.

    Args:
        export: The export folder.
        run_id: The run in MLflow that the model belongs to.
        path: The place of the export folder among the run's artifacts.
        folder: The folder to write `MLmodel`, `requirements.txt` and `python_env.yaml` to.

    Raises:
        InputError: The export folder has no description of its data set, or one of another version.
    """
    info = load_info(export)
    inputs, (dtype, shape) = expected_specs(info)
    onnx = (export / ONNX).is_file()
    if len(info.outputs) == 1:
        outputs = [_tensor((dtype, shape))]
    elif onnx:
        outputs = [_tensor((dtype, shape), name) for name in info.outputs]
    else:  # the Keras model has the quantiles in its last dimension
        outputs = [_tensor((dtype, [*shape, len(info.outputs)]))]
    schema = Schema([_tensor(spec, name) for name, spec in inputs.items()])
    model = Model(artifact_path=path, run_id=run_id, signature=ModelSignature(schema, Schema(outputs)))
    with zipfile.ZipFile(export / KERAS_FILE) as saved:
        keras = json.loads(saved.read("metadata.json"))["keras_version"]
    # MLflow adds the suffix .keras itself.
    name = KERAS_FILE.removesuffix(".keras")
    model.add_flavor("keras", data=name, keras_version=keras, keras_backend="tensorflow", save_exported_model=False)
    if onnx:
        model.add_flavor("onnx", data=ONNX, onnx_version=_installed("onnx"), providers=["CPUExecutionProvider"])
        pyfunc.add_to_model(model, loader_module="mlflow.onnx", data=ONNX, python_env=_PYTHON)
        needs = ["onnx", "onnxruntime"]
    else:
        pyfunc.add_to_model(model, loader_module="mlflow.keras", python_env=_PYTHON)
        needs = ["tensorflow"]
    pinned = [f"{name}=={found}" if (found := _installed(name)) else name for name in needs]
    write_text(folder / _REQUIREMENTS, "\n".join([f"mlflow=={mlflow.__version__}", f"keras=={keras}", *pinned]) + "\n")
    python = {"python": pyfunc.PYTHON_VERSION, "dependencies": [f"-r {_REQUIREMENTS}"]}
    write_text(folder / _PYTHON, json.dumps(python) + "\n")
    model.save(str(folder / FILE))


def _tensor(spec: Spec, name: str | None = None) -> ColSpec | TensorSpec:
    dtype, shape = spec
    return TensorSpec(np.dtype(dtype), tuple(-1 if size is None else size for size in shape), name)


def _installed(package: str) -> str | None:
    """The version of a package; None where it isn't installed, as it is where each task runs in a container."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
