"""The machines that tasks run on where the pipeline runs in a cluster."""

import functools
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.errors import InputError
from components.spec import Strict

FILE = Path(__file__).parent.parent / "configs" / "machines.yaml"


class Machine(Strict):
    """A machine.

    Attributes:
        cpu: Limit of CPU cores.
        memory: Limit of memory, such as 16G.
        accelerator: Google's name of it.
        count: How many of them.
    """

    cpu: str
    memory: str
    accelerator: str | None = None
    count: int = 0


@functools.cache
def machines() -> dict[str, Machine]:
    """Read the table of machines.

    Raises:
        InputError: An entry isn't as it should be.
    """
    try:
        return {name: Machine.model_validate(m) for name, m in yaml.safe_load(FILE.read_text()).items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{FILE.name}: {first['loc']}: {first['msg']}") from None


def machine_names() -> list[str]:
    """Names of the machines."""
    return list(machines())


def place(task: Any, name: str | None) -> None:  # noqa: ANN401 (a kfp PipelineTask)
    """Ask for a machine for a task; without a name the cluster's default serves."""
    if name is None:
        return
    machine = machines()[name]
    task.set_cpu_limit(machine.cpu).set_memory_limit(machine.memory)
    if machine.accelerator:
        task.set_accelerator_type(machine.accelerator).set_accelerator_limit(machine.count)
