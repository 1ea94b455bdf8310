"""The `Model` folder that train writes, and what evaluate, export and compare read of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from components.artifacts.dataset import DatasetInfo, load_info
from components.common.errors import InputError
from components.common.files import write_text
from components.common.spec import ModelSpec, Strict

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

# A model as a function of a batch.
Call: TypeAlias = "Callable[[dict[str, np.ndarray] | np.ndarray], tf.Tensor]"
_MODEL = "model.json"
KERAS_FILE = "model.keras"
# What a training selects its best epoch by, and a search its best trial: Keras' name, and whether more is better.
MONITORED: dict[str, tuple[str, Literal["max", "min"]]] = {
    "classification": ("val_accuracy", "max"),
    "forecasting": ("val_mae", "min"),
}


class Layer(Strict):
    """A layer of a model, or an operation on tensors.

    Attributes:
        name: Its name in the model.
        kind: Its class: "Dense".
        shape: Of its first output, without the batch; None where a length is free.
        parameters: Its weights.
        inputs: Names of the layers whose outputs it takes.
    """

    name: str
    kind: str
    shape: list[int | None]
    parameters: int
    inputs: list[str]


class Machine(Strict):
    """What a model was trained on. On a CPU the last bits of its weights may depend on it.

    Attributes:
        cpu: The CPU's name.
        cores: Those that the training could use.
        devices: What it was trained on: "the CPU", "a GPU".
    """

    cpu: str
    cores: int
    devices: str


class ModelInfo(Strict):
    """A trained model.

    Attributes:
        name: The model's name in the experiment.
        spec: How it was asked for.
        dataset: The data set's name.
        dataset_sha256: Digest of the data it was trained on.
        parameters: Trainable and other weights.
        layers: In the order that they are computed.
        best_epoch: The epoch whose weights were kept, counted from 1.
        history: For each epoch, its metrics and its "seconds".
        train_seconds: Sum of all epochs' seconds, validation included.
        examples_per_second: Training examples seen per second of it.
        machine: What it was trained on; None where an older version trained it.
    """

    name: str
    spec: ModelSpec
    dataset: str
    dataset_sha256: str
    parameters: int
    layers: list[Layer]
    best_epoch: int
    history: list[dict[str, float]]
    train_seconds: float
    examples_per_second: float
    machine: Machine | None = None


def load_keras(path: Path | str) -> "keras.Model":
    """Load a `.keras` file, to predict with.

    Without XLA, which Keras takes by itself: it compiles for seconds, and TPUs' TensorFlow has none for CPUs.
    """
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.jit_compile = False
    return model


def compiled(model: "keras.Model", info: DatasetInfo) -> Call:
    """A model as one compiled function, traced once for batches of every size.

    Keras' own `predict` traces again for another size, and each trace is a tenth of a short task.

    Args:
        model: The model.
        info: Its data set: images are given as they are, what belongs to a window by name.
    """
    import tensorflow as tf

    specs = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs}
    signature = next(iter(specs.values())) if info.task == "classification" else specs

    @tf.function(input_signature=[signature], autograph=False)
    def call(batch: "dict[str, tf.Tensor] | tf.Tensor") -> tf.Tensor:
        return model(batch, training=False)

    return call


def layers_of(model: "keras.Model") -> list[Layer]:
    """The layers of a Functional or Sequential model; those of a Sequential model inside it as its own."""
    import keras

    # A Sequential model has layers alone, and doesn't count its input among them.
    operations = {operation.name: operation for operation in getattr(model, "operations", model.layers)}
    found: list[Layer] = []
    lasts: dict[str, str] = {}
    for entry in model.get_config()["layers"]:
        name = entry["config"].get("name") or entry["name"]
        if name not in operations:
            continue
        operation = operations[name]
        if "inbound_nodes" in entry:
            inputs = [lasts.get(before, before) for before in dict.fromkeys(_histories(entry["inbound_nodes"]))]
        else:
            inputs = [found[-1].name] if found else []
        if isinstance(operation, keras.Sequential):
            for layer in layers_of(operation):
                before = [f"{name}/{source}" for source in layer.inputs] or inputs
                found.append(layer.model_copy(update={"name": f"{name}/{layer.name}", "inputs": before}))
            lasts[name] = found[-1].name
            continue
        output = keras.tree.flatten(operation.output)[0]
        found.append(
            Layer(
                name=name,
                kind=type(operation).__name__,
                shape=list(output.shape[1:]),
                parameters=operation.count_params() if isinstance(operation, keras.Layer) else 0,
                inputs=inputs,
            )
        )
    return found


def _histories(value: object) -> Iterator[str]:
    """Names of the layers that made the tensors in a part of a model's configuration."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"][0]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _histories(item)


def save_model_info(folder: Path, model: ModelInfo) -> None:
    """Write the description of a model folder."""
    write_text(folder / _MODEL, model.model_dump_json(indent=2) + "\n")


def load_model_info(folder: Path | str) -> ModelInfo:
    """Read the description of a model folder."""
    return ModelInfo.model_validate_json((Path(folder) / _MODEL).read_text(encoding="utf-8"))


def load(folder: Path | str, dataset: Path | str) -> tuple["keras.Model", ModelInfo, DatasetInfo]:
    """Load a trained model and the data set it belongs to.

    Raises:
        InputError: The model was trained on other data.
    """
    model_info, info = load_model_info(folder), load_info(dataset)
    if model_info.dataset_sha256 != info.sha256:
        raise InputError(
            f"{folder}: model {model_info.name} was trained on data {model_info.dataset_sha256[:12]}, "
            f"expected {info.sha256[:12]} ({info.name})"
        )
    return load_keras(Path(folder) / KERAS_FILE), model_info, info
