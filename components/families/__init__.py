"""The model families, one file each. A new file here is a new family: nothing else has to be edited."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.common.contract import load_file
from components.common.errors import InputError
from components.common.spec import ModelSpec, Strict, Task
from components.models.sizes import Sizes

if TYPE_CHECKING:
    import keras

    from components.artifacts.dataset import DatasetInfo


@dataclass(frozen=True)
class Family:
    """An architecture: a file in components/families, which holds these under the same names.

    Attributes:
        doc: The file's docstring.
        TASKS: What it can be trained for.
        Hyperparameters: Its keys in a config.
        build: Gives the untrained model of a data set's `DatasetInfo` and of `Hyperparameters`. It imports Keras
            itself, so that the command line can read a family without it.
        sizes: Optional. It takes the shape of an example, the number of outputs and `Hyperparameters`, and gives for
            each layer with weights how large it is, see `components.models.sizes`.
    """

    doc: str
    TASKS: tuple[Task, ...]
    Hyperparameters: type[Strict]
    build: "Callable[[DatasetInfo, Any], keras.Model]"
    sizes: Callable[[list[int], int, Any], Sizes] | None = None


def family_names() -> list[str]:
    """Names of the files in components/families."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_family(name: str) -> Family:
    """Import a family by name.

    Raises:
        InputError: There is no such file in components/families, or it lacks something.
    """
    if name not in family_names():
        raise InputError(f"unknown family '{name}'; there are: {', '.join(family_names())}")
    return load_file(Family, f"{__name__}.{name}")


def families_for(task: Task) -> list[str]:
    """Names of the families that solve `task`."""
    return [name for name in family_names() if task in load_family(name).TASKS]


def build_model(spec: ModelSpec, info: "DatasetInfo") -> "keras.Model":
    """Build the untrained model that `spec` asks for.

    Raises:
        InputError: The family doesn't solve the data set's task, or its hyperparameters are wrong.
    """
    family = load_family(spec.family)
    if info.task not in family.TASKS:
        raise InputError(f"family {spec.family} doesn't solve {info.task}")
    hyperparameters = family.Hyperparameters.model_validate(spec.hyperparameters)
    model = family.build(info, hyperparameters)
    model.jit_compile = False
    return model
