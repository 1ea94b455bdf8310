"""The model families, one in each file. A new file here is a new family, without any other change."""

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.contract import load_file
from components.common.errors import InputError
from components.common.spec import ModelSpec, Strict, Task
from components.common.words import did_you_mean
from components.models.layer_sizes import LayerSizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo
    from components.artifacts.model import ModelInfo


# The packages whose layers Keras imports by itself where it loads a model.
_IMPORTED_BY_KERAS = ("keras", "keras_hub")
# The most by which probabilities of bfloat16 may add up to more or less than 1.
_ROUNDING = 0.02


@dataclass(frozen=True)
class FineTuning:
    """How a model with pretrained weights is trained.

    Attributes:
        layer: The name of the layer that is frozen at first.
        epochs: The number of the epochs in which it is.
        learning_rate: The learning rate after them.
    """

    layer: str
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class Family:
    """An architecture: a file in components/families, which defines these names.

    Attributes:
        doc: The file's docstring.
        TASKS: The tasks that the family can be trained for.
        Hyperparameters: The class of its keys in a config.
        build: A function of a data set's `DatasetInfo` and of `Hyperparameters`, which returns the untrained model. It
            imports Keras itself, so that the command line can read a family without it.
        sizes: An optional function of the shape of an example, the number of outputs and `Hyperparameters`, which
            returns the size of each layer with weights, see `components.models.layer_sizes`.
        check: An optional function of `Hyperparameters` and of the shape of an image that looks at files which they
            name, when an experiment is checked. The shape is None where it isn't known. It returns them with what
            identifies the files, and raises InputError.
        fine_tuning: An optional function of `Hyperparameters`, which returns a `FineTuning`, or None where all layers
            are trained from the start.
    """

    doc: str
    TASKS: tuple[Task, ...]
    Hyperparameters: type[Strict]
    build: "Callable[[DatasetInfo, Strict], keras.Model]"
    sizes: Callable[[list[int], int, Strict], LayerSizes] | None = None
    check: Callable[[Strict, list[int] | None], Strict] | None = None
    fine_tuning: Callable[[Strict], FineTuning | None] | None = None


def family_names() -> list[str]:
    """The names of the families, which are the files in components/families."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_family(name: str) -> Family:
    """Import a family by name.

    Raises:
        InputError: There is no such file in components/families, or it lacks a name that a family defines.
    """
    if name not in family_names():
        hint = did_you_mean(name, family_names()) or f"there are: {', '.join(family_names())}"
        raise InputError(f"unknown family '{name}'; {hint}")
    return load_file(Family, f"{__name__}.{name}")


def families_for(task: Task) -> list[str]:
    """The names of the families that can be trained for a task."""
    return [name for name in family_names() if task in load_family(name).TASKS]


def fine_tuning(spec: ModelSpec) -> FineTuning | None:
    """How a model is fine-tuned; None where all its layers are trained from the start."""
    family = load_family(spec.family)
    return family.fine_tuning and family.fine_tuning(family.Hyperparameters.model_validate(spec.hyperparameters))


def build_model(spec: ModelSpec, info: "DatasetInfo") -> "keras.Model":
    """Build the untrained model that a config describes.

    Raises:
        InputError: The family can't be trained for the data set's task, its model takes other inputs, gives other
            outputs or couldn't be loaded again, or the hyperparameters are wrong.
    """
    family = load_family(spec.family)
    if info.task not in family.TASKS:
        raise InputError(f"family {spec.family} doesn't solve {info.task}")
    hyperparameters = family.Hyperparameters.model_validate(spec.hyperparameters)
    if spec.quantiles:
        info = info.model_copy(update={"quantiles": spec.quantiles})
    model = family.build(info, hyperparameters)
    _refuse_other_inputs(spec.family, model, info)
    _refuse_other_answers(spec.family, model, info)
    _refuse_unknown_layers(spec.family, model)
    model.jit_compile = False
    return model


def load_model(folder: Path | str, dataset: Path | str) -> "tuple[keras.Model, ModelInfo, DatasetInfo]":
    """Load a trained model and the description of its data set, with the quantiles that the model forecasts.

    Keras knows the layers that the family's file registers.

    Raises:
        InputError: The model was trained on other data, or its family isn't here.
    """
    from components.artifacts.dataset import load_info
    from components.artifacts.model import KERAS_FILE, ModelInfo, load_keras

    model_info, info = ModelInfo.load(folder), load_info(dataset)
    if model_info.dataset_sha256 != info.sha256:
        raise InputError(
            f"{folder}: model {model_info.name} was trained on data {model_info.dataset_sha256[:12]}, "
            f"expected {info.sha256[:12]} ({info.name})"
        )
    if model_info.spec.quantiles:
        info = info.model_copy(update={"quantiles": model_info.spec.quantiles})
    load_family(model_info.spec.family)
    return load_keras(Path(folder) / KERAS_FILE), model_info, info


def _refuse_other_inputs(family: str, model: "keras.Model", info: "DatasetInfo") -> None:
    """Refuse what isn't a functional model of the inputs that `components.models.layers.scaled_inputs` makes."""
    from components.artifacts.dataset import ImagesInfo

    if isinstance(info, ImagesInfo):
        expected = {"image": ["uint8", *info.shape]}
    else:
        expected = {"window": ["float32", info.lookback, len(info.columns)]}
        if info.known:
            expected["future"] = ["float32", info.horizon, len(info.known)]
    inputs = getattr(model, "inputs", None) or []
    if (given := {one.name: [one.dtype, *one.shape[1:]] for one in inputs}) != expected:
        raise InputError(
            f"family {family}: build gives a {type(model).__name__} of the inputs {given}, expected keras.Model("
            f"inputs, outputs) of {expected}, as of components.models.layers.scaled_inputs"
        )


def _refuse_other_answers(family: str, model: "keras.Model", info: "DatasetInfo") -> None:
    """Refuse a model that doesn't give probabilities [batch, classes], or forecasts [batch, horizon(, quantiles)]."""
    import keras
    import numpy as np

    from components.artifacts.dataset import ImagesInfo
    from components.models import answers

    if isinstance(info, ImagesInfo):
        shape, meaning = [None, len(info.classes)], "a probability for each class"
    else:
        shape, meaning = [None, info.horizon], "a value for each step"
        if info.quantiles:
            shape, meaning = [*shape, len(info.quantiles)], "a value for each step and quantile"
    given = [list(output.shape) for output in model.outputs]
    if given != [shape]:
        raise InputError(
            f"family {family}: its model gives {given}, expected [{shape}], {meaning}, as of "
            "components.models.layers.finish"
        )
    if isinstance(info, ImagesInfo) and answers.logits_layer(model) is None:
        noise = np.random.default_rng(0).integers(0, 256, (8, *info.shape))
        totals = np.sum(model(keras.tree.map_structure(lambda _: noise, model.input)), axis=1)
        if not np.allclose(totals, 1, atol=_ROUNDING):
            raise InputError(
                f"family {family}: what its model gives for an image adds up to {totals[0]:.3g}, expected "
                "probabilities, as of softmax or of components.models.layers.finish"
            )


def _refuse_unknown_layers(family: str, model: "keras.Model") -> None:
    """Refuse a model that Keras couldn't load in safe mode in a process that has imported the family's file."""
    import keras

    if unknown := ", ".join(dict.fromkeys(_unknown(keras.saving.serialize_keras_object(model)))):
        raise InputError(
            f"family {family}: its model couldn't be loaded again: {unknown}; expected layers and functions of Keras, "
            "of keras-hub, or with @keras.saving.register_keras_serializable(), and no Lambda"
        )


def _unknown(config: Any) -> Iterator[str]:  # noqa: ANN401
    """The names of the classes and functions in a serialized model that Keras neither imports nor has registered."""
    import keras

    if isinstance(config, dict):
        package = str(config.get("module", "keras")).split(".")[0]
        function = config.get("class_name") == "function"
        name = str(config.get("config" if function else "class_name"))
        registered = keras.saving.get_registered_object(name if function else str(config.get("registered_name")))
        if name == "Lambda" or (package not in _IMPORTED_BY_KERAS and registered is None):
            yield name
        config = list(config.values())
    if isinstance(config, list | tuple):
        for value in config:
            yield from _unknown(value)
