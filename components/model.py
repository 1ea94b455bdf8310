"""The `Model` folder that train writes, and what evaluate, export and compare read of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.dataset import DatasetInfo, load_info
from components.errors import InputError
from components.spec import ModelSpec, Strict, load_family

if TYPE_CHECKING:
    import keras

FILE = "model.json"
KERAS_FILE = "model.keras"


class ModelInfo(Strict):
    """A trained model.

    Attributes:
        name: The model's name in the experiment.
        spec: How it was asked for.
        dataset: The data set's name.
        dataset_sha256: Digest of the data it was trained on.
        parameters: Trainable and other weights.
        best_epoch: The epoch whose weights were kept, counted from 1.
        history: For each epoch, its metrics and its "seconds".
        train_seconds: Sum of all epochs' seconds, validation included.
        examples_per_second: Training examples seen per second of it.
    """

    name: str
    spec: ModelSpec
    dataset: str
    dataset_sha256: str
    parameters: int
    best_epoch: int
    history: list[dict[str, float]]
    train_seconds: float
    examples_per_second: float


def build(spec: ModelSpec, info: DatasetInfo) -> "keras.Model":
    """Build the untrained model that `spec` asks for.

    Raises:
        InputError: The family doesn't solve the data set's task, or its hyperparameters are wrong.
    """
    family = load_family(spec.family)
    if info.task not in family.TASKS:
        raise InputError(f"family {spec.family} doesn't solve {info.task}")
    hyperparameters = family.Hyperparameters.model_validate(spec.hyperparameters)
    model = family.build(info, hyperparameters)  # type: ignore[attr-defined]
    model.jit_compile = False
    return model


def load_keras(path: Path | str) -> "keras.Model":
    """Load a `.keras` file, to predict with.

    Without XLA, which Keras takes by itself: it compiles for seconds, and TPUs' TensorFlow has none for CPUs.
    """
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.jit_compile = False
    return model


def load_model_info(folder: Path | str) -> ModelInfo:
    """Read the description of a model folder."""
    return ModelInfo.model_validate_json((Path(folder) / FILE).read_text())


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
