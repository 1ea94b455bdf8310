"""The `Model` folder that train writes.

model.json      a `ModelInfo`
model.keras     the model with the weights of its best epoch
tensorboard/    the logs of the training
checkpoints/    what stays of the training where `keep_checkpoints` says so, see `components.train.kept`
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from components.artifacts.dataset import DatasetInfo
from components.artifacts.json_file import JsonFile
from components.common.spec import ModelSpec, Strict

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

# A function that gives a model's output for a batch.
Call: TypeAlias = "Callable[[dict[str, np.ndarray] | np.ndarray], tf.Tensor]"
KERAS_FILE = "model.keras"
CHECKPOINTS = "checkpoints"
# The metric that selects the best epoch of a training and the best trial of a search: its name in Keras, and its mode.
MONITORED: dict[str, tuple[str, Literal["max", "min"]]] = {
    "classification": ("val_accuracy", "max"),
    "forecasting": ("val_mae", "min"),
}


class Layer(Strict):
    """A layer of a model, or an operation on tensors.

    Attributes:
        name: The layer's name in the model.
        kind: The name of its class, such as "Dense".
        shape: The shape of its first output, without the batch; None where a length is free.
        parameters: The number of its weights.
        inputs: The names of the layers whose outputs it takes.
    """

    name: str
    kind: str
    shape: list[int | None]
    parameters: int
    inputs: list[str]


class Machine(Strict):
    """The machine that a model was trained on. On a CPU, the last bits of the weights may depend on it.

    Attributes:
        cpu: The CPU's name.
        cores: The number of cores that the training could use.
        devices: The devices that it was trained on, such as "the CPU" or "a GPU".
    """

    cpu: str
    cores: int = Field(ge=1, le=4096)
    devices: str


class Temperature(Strict):
    """The temperature that a classifier's logits were divided by, so that its probabilities are calibrated.

    Attributes:
        value: The temperature. Below 1 the model is surer than it was trained to be, above 1 less sure.
        before: The negative log-likelihood on the validation split before it; None where it wasn't measured.
        after: The negative log-likelihood on the validation split with it.
        note: Why the value is 1, or that it is at a limit; empty otherwise.
    """

    value: float = 1.0
    before: float | None = None
    after: float | None = None
    note: str = ""

    def words(self) -> str:
        """The temperature, what it does to the validation split, and the note."""
        said = f"temperature {self.value:.3g}"
        if self.before is not None and self.after is not None and self.before != self.after:
            said += f": validation loss {self.before:.4f} before it, {self.after:.4f} with it"
        return f"{said}; {self.note}" if self.note else said


class ModelInfo(JsonFile):
    """A trained model.

    Attributes:
        name: The model's name in the experiment.
        spec: The model's keys in the config.
        dataset: The data set's name.
        dataset_sha256: The digest of the data that it was trained on.
        parameters: The number of its weights, trainable or not.
        layers: Its layers, in the order of computation.
        best_epoch: The epoch whose weights were kept, from 1.
        history: The metrics and the "seconds" of each epoch.
        train_seconds: The sum of all epochs' seconds, validation included.
        examples_per_second: The number of training examples per second of them.
        machine: The machine that it was trained on; None where an older version trained it.
        temperature: The temperature of its probabilities; None where it isn't a classifier, or isn't calibrated.
    """

    FILE = "model.json"
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
    temperature: Temperature | None = None


def best_epoch(history: list[dict[str, float]], task: str) -> int:
    """The epoch with the best validation result, counted from 0: the first of equal ones, and 0 where there is none.

    Args:
        history: The metrics of each epoch.
        task: The task that the model is trained for.
    """
    name, mode = MONITORED[task]
    best = max if mode == "max" else min
    return best(range(len(history)), key=lambda epoch: history[epoch][name], default=0)


def load_keras(path: Path | str) -> "keras.Model":
    """Load a `.keras` file for prediction.

    The model doesn't use XLA, which Keras would choose: XLA compiles for seconds, and the TensorFlow of TPUs has no XLA
    for CPUs.
    """
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.jit_compile = False
    return model


def compiled(model: "keras.Model", info: DatasetInfo) -> Call:
    """Compile a model to one function, which is traced once for batches of every size.

    Keras' `predict` traces again for another batch size, and each trace takes a tenth of the time of a short task.

    Args:
        model: The model.
        info: Its data set. The function takes an array of images, or the inputs of windows by name.
    """
    import tensorflow as tf

    specs = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs}
    signature = next(iter(specs.values())) if info.task == "classification" else specs

    @tf.function(input_signature=[signature], autograph=False)
    def call(batch: "dict[str, tf.Tensor] | tf.Tensor") -> tf.Tensor:
        return model(batch, training=False)

    return call


def layers_of(model: "keras.Model") -> list[Layer]:
    """The layers of a Functional or Sequential model. The layers of a model inside it are listed, too."""
    import keras

    # A Sequential model has no `operations`, and its `layers` are without its input.
    operations = {operation.name: operation for operation in getattr(model, "operations", model.layers)}
    layers: list[Layer] = []
    lasts: dict[str, str] = {}
    for entry in model.get_config()["layers"]:
        name = entry["config"].get("name") or entry["name"]
        if name not in operations:
            continue
        operation = operations[name]
        if "inbound_nodes" in entry:
            inputs = [lasts.get(before, before) for before in dict.fromkeys(_histories(entry["inbound_nodes"]))]
        else:
            inputs = [layers[-1].name] if layers else []
        # A backbone of keras-hub is one layer, by whose arguments it is made.
        if isinstance(operation, keras.Model) and "layers" in operation.get_config():
            for layer in layers_of(operation):
                before = [f"{name}/{source}" for source in layer.inputs] or inputs
                layers.append(layer.model_copy(update={"name": f"{name}/{layer.name}", "inputs": before}))
            lasts[name] = layers[-1].name
            continue
        output = keras.tree.flatten(operation.output)[0]
        layers.append(
            Layer(
                name=name,
                kind=type(operation).__name__,
                shape=list(output.shape[1:]),
                parameters=operation.count_params() if isinstance(operation, keras.Layer) else 0,
                inputs=inputs,
            )
        )
    return layers


def _histories(value: object) -> Iterator[str]:
    """The names of the layers whose output tensors a part of a model's configuration names."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield value["keras_history"][0]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _histories(item)
