"""The machines that tasks run on in a cluster, which configs/machines.yaml describes."""

import functools
import math
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from components.common.errors import InputError
from components.common.image_names import GPU_IMAGE, IMAGE, TPU_IMAGE
from components.common.spec import Strict
from pipeline.experiment.offers import Offer, offered, retired

FILE = Path(__file__).parent.parent.parent / "configs" / "machines.yaml"
# The machine type of a Vertex task that asks for none.
DEFAULT_TYPE = "e2-standard-4"
Target = Literal["vertex", "kubeflow"]
# The most vCPUs and memory of a task of a Vertex pipeline. A CustomJob can have more:
# cloud.google.com/vertex-ai/docs/pipelines/machine-types
TASK_CPUS = 96
TASK_MEMORY_GB = 624


class Machine(Strict):
    """An entry of configs/machines.yaml.

    Attributes:
        machine_type: Google's name of the machine type, an entry of offered.yaml.
        accelerator: Google's name of a GPU.
        count: The number of GPUs of each worker.
        tpu_topology: The chips of a TPU machine, such as 2x2.
        workers: The number of machines that train together.
        spot: Whether it is a spot machine, which may be taken away.
        max_wait_hours: The time that a job waits for scarce GPUs, in hours. It starts when there are some (flex-start).
        disk_gb: The size of the boot disk.
        timeout_hours: The time after which a training is stopped, in hours.
        retries: The number of times that a failed task is tried again.
        precision: Keras' dtype policy where the process has the accelerator.
        image: The training's image; None for the one that IMAGE, IMAGE_GPU or IMAGE_TPU names for such a machine.
        node_selector: The node selector on Kubernetes, in place of the labels that Google's clusters have.
    """

    machine_type: str
    accelerator: str | None = None
    count: int = Field(default=0, ge=0)
    tpu_topology: str | None = None
    workers: int = Field(default=1, ge=1, le=64)
    spot: bool = False
    max_wait_hours: float | None = Field(default=None, gt=0, le=14 * 24)
    disk_gb: int | None = Field(default=None, ge=100, le=64000)
    timeout_hours: float | None = Field(default=None, gt=0, le=7 * 24)
    retries: int = Field(default=0, ge=0, le=10)
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    image: str | None = None
    node_selector: dict[str, str] = {}

    @property
    def replicas(self) -> int:
        """The number of copies of the model that train together. A TPU has one for each chip."""
        if self.tpu_topology:
            return math.prod(map(int, self.tpu_topology.split("x")))
        return self.workers * max(self.count, 1)

    @property
    def training_image(self) -> str:
        """The image of a training on this machine."""
        if self.image:
            return self.image
        if self.tpu_topology:
            return TPU_IMAGE
        return GPU_IMAGE if self.accelerator else IMAGE

    @property
    def needs_job(self) -> bool:
        """Whether a task of a Vertex pipeline can't have this machine, and launches a CustomJob on it."""
        offer = offered()[self.machine_type]
        too_large = offer.cpus > TASK_CPUS or offer.memory_gb > TASK_MEMORY_GB
        return bool(
            too_large
            or self.tpu_topology
            or self.workers > 1
            or self.spot
            or self.max_wait_hours
            or self.disk_gb
            or self.timeout_hours
        )


@functools.cache
def machines() -> dict[str, Machine]:
    """Read the table of machines.

    Raises:
        InputError: An entry is malformed, or names a machine that Google doesn't offer.
    """
    try:
        entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{FILE.name}: not YAML: {error}".replace("\n", " ")) from None
    if not isinstance(entries, dict):
        raise InputError(f"{FILE.name}: {entries!r}, expected machines by name")
    table: dict[str, Machine] = {}
    for name, entry in entries.items():
        try:
            table[str(name)] = Machine.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (name, *first["loc"])))
            raise InputError(f"{FILE.name}: {where}: {first['input']!r}: {first['msg']}") from None
        check_offered(f"{FILE.name}: {name}", table[str(name)])
    return table


def check_offered(where: str, machine: Machine) -> None:
    """Refuse a machine that Google doesn't offer.

    Raises:
        InputError: Google doesn't. The message names the machines that it offers.
    """
    if machine.machine_type not in offered():
        family = machine.machine_type.split("-")[0]
        known = [name for name in offered() if name.startswith(family)] or list(offered())
        raise InputError(f"{where}: machine_type: no '{machine.machine_type}'; there are: {', '.join(known)}")
    offer = offered()[machine.machine_type]
    if offer.topologies:
        _check_tpu(where, machine, offer)
        return
    if machine.tpu_topology:
        raise InputError(f"{where}: tpu_topology is for TPU machines, {machine.machine_type} isn't one")
    if machine.accelerator in retired():
        day, page = retired()[machine.accelerator]
        raise InputError(f"{where}: accelerator: Google has no {machine.accelerator} since {day} ({page})")
    if machine.max_wait_hours and (machine.spot or not machine.accelerator):
        raise InputError(f"{where}: max_wait_hours is for GPUs that aren't spot")
    if bool(machine.accelerator) != bool(machine.count):
        raise InputError(f"{where}: accelerator and count go together, got {machine.accelerator} and {machine.count}")
    if machine.accelerator and machine.count not in offer.accelerators.get(machine.accelerator, []):
        gpus = f"{machine.count} {machine.accelerator}"
        choices = [f"{count} {name}" for name, counts in offer.accelerators.items() for count in counts]
        types = [
            name for name, row in offered().items() if machine.count in row.accelerators.get(machine.accelerator, [])
        ]
        raise InputError(
            f"{where}: Google doesn't offer {machine.machine_type} with {gpus}; "
            f"offered with it: {', '.join(choices) or 'none'}" + (f"; {gpus}: {', '.join(types)}" if types else "")
        )


def _check_tpu(where: str, machine: Machine, offer: Offer) -> None:
    if machine.tpu_topology not in offer.topologies or machine.accelerator or machine.workers > 1:
        raise InputError(
            f"{where}: {machine.machine_type} is one TPU machine: expected tpu_topology {', '.join(offer.topologies)}, "
            f"no accelerator and one worker"
        )
    if machine.replicas > offer.chips:
        raise InputError(
            f"{where}: tpu_topology {machine.tpu_topology} spans {machine.replicas // offer.chips} hosts, and a "
            "training uses the chips of one; ct5lp-hightpu-8t has 8 chips on one"
        )
