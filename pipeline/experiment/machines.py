"""The machines that tasks run on where the pipeline runs in a cluster."""

import functools
import math
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from components.common.errors import InputError
from components.common.image_names import GPU_IMAGE, IMAGE, TPU_IMAGE
from components.common.spec import Strict
from components.vertex.placement import TPU_ENVIRONMENT, Placement, Pool
from pipeline.experiment.offers import Offer, offered, retired

FILE = Path(__file__).parent.parent.parent / "configs" / "machines.yaml"
# What Vertex gives a task that asks for nothing.
DEFAULT_TYPE = "e2-standard-4"
Target = Literal["vertex", "kubeflow"]
# What a task of a Vertex pipeline can ask for; more needs a CustomJob:
# cloud.google.com/vertex-ai/docs/pipelines/machine-types
TASK_CPUS = 96
TASK_MEMORY_GB = 624
# GKE's label for a node's accelerator: cloud.google.com/kubernetes-engine/docs/how-to/gpus
_GKE_NAMES = {"NVIDIA_A100_80GB": "nvidia-a100-80gb", "NVIDIA_L4": "nvidia-l4", "NVIDIA_H100_80GB": "nvidia-h100-80gb"}


class Machine(Strict):
    """A machine, as configs/machines.yaml describes it.

    Attributes:
        machine_type: Google's name, an entry of offered.yaml.
        accelerator: Google's name of a GPU.
        count: How many of them each worker has.
        tpu_topology: The chips of a TPU machine, such as 2x2.
        workers: How many machines train together.
        spot: Whether it may be taken away.
        max_wait_hours: A job waits so long for GPUs that are scarce, and starts when there are some (flex-start).
        disk_gb: Size of the boot disk.
        timeout_hours: A training that takes longer is stopped.
        retries: Times that a failed task is tried again.
        precision: Keras' dtype policy, where the accelerator is found.
        image: Another image than the one that IMAGE, IMAGE_GPU or IMAGE_TPU names for such a machine.
        node_selector: On Kubernetes, in place of the labels that Google's clusters have.
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
        """Copies of the model that train together; of a TPU, one for each chip."""
        if self.tpu_topology:
            return math.prod(map(int, self.tpu_topology.split("x")))
        return self.workers * max(self.count, 1)

    @property
    def training_image(self) -> str:
        """The image that a training on this machine runs in."""
        if self.image:
            return self.image
        if self.tpu_topology:
            return TPU_IMAGE
        return GPU_IMAGE if self.accelerator else IMAGE

    @property
    def needs_job(self) -> bool:
        """Whether a task of a Vertex pipeline can't have this machine itself, and has to launch a CustomJob."""
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
        InputError: An entry isn't as it should be, or asks for a pair that Google doesn't offer.
    """
    try:
        entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{FILE.name}: not YAML: {error}".replace("\n", " ")) from None
    if not isinstance(entries, dict):
        raise InputError(f"{FILE.name}: {entries!r}, expected machines by name")
    table = {}
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
        InputError: It says which ones are offered.
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
        here = ", ".join(f"{count} {name}" for name, counts in offer.accelerators.items() for count in counts) or "none"
        there = [
            name for name, row in offered().items() if machine.count in row.accelerators.get(machine.accelerator, [])
        ]
        elsewhere = f"; {machine.count} {machine.accelerator}: {', '.join(there)}" if there else ""
        raise InputError(
            f"{where}: Google doesn't offer {machine.machine_type} with {machine.count} {machine.accelerator}; "
            f"offered with it: {here}{elsewhere}"
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


def placement(name: str | None, target: Target, job: bool = False) -> Placement:
    """What the train step is told of its machine: the precision, and the CustomJob to launch where it needs one.

    Args:
        name: The machine's; None for Vertex' default.
        target: What the pipeline is compiled for.
        job: Ask for a job whatever the machine is: a job alone streams to a Vertex TensorBoard.
    """
    machine = machines()[name] if name else Machine(machine_type=DEFAULT_TYPE)
    if target == "kubeflow" or not (machine.needs_job or job):
        return Placement(precision=machine.precision)
    spec: dict[str, Any] = {"machine_type": machine.machine_type}
    if machine.accelerator:
        spec |= {"accelerator_type": machine.accelerator, "accelerator_count": machine.count}
    if machine.tpu_topology:
        spec |= {"tpu_topology": machine.tpu_topology}
    pool = Pool(machine=spec, replicas=1, disk_gb=machine.disk_gb)
    pools = [pool] + ([pool.model_copy(update={"replicas": machine.workers - 1})] if machine.workers > 1 else [])
    return Placement(
        precision=machine.precision,
        image=machine.training_image,
        pools=pools,
        spot=machine.spot,
        max_wait_seconds=_seconds(machine.max_wait_hours),
        timeout_seconds=_seconds(machine.timeout_hours),
    )


def _seconds(hours: float | None) -> int | None:
    return None if hours is None else round(hours * 3600)


def check_target(where: str, name: str | None, target: Target) -> None:
    """Refuse a machine that a target can't give.

    Raises:
        InputError: Several workers on Kubeflow.
    """
    workers = machines()[name].workers if name else 1
    if target == "kubeflow" and workers > 1:
        raise InputError(f"{where}: machine {name} has {workers} workers, which Vertex AI alone can start")


def place(task: Any, name: str | None, target: Target, launches: bool = False) -> None:  # noqa: ANN401 (a PipelineTask)
    """Ask for a machine for a task.

    Args:
        task: The task.
        name: The machine's; without one the cluster's default serves.
        target: What the pipeline is compiled for.
        launches: Whether the task only launches a job, which has the machine.
    """
    if name is None:
        return
    machine = machines()[name]
    if machine.retries:
        task.set_retry(machine.retries)
    if launches:
        return
    if target == "vertex":
        # The machine type itself has no field in a task: Vertex chooses it by these limits. KFP takes whole numbers
        # of a unit alone.
        offer = offered()[machine.machine_type]
        task.set_cpu_limit(str(offer.cpus)).set_memory_limit(f"{round(offer.memory_gb * 1000)}M")
        if machine.accelerator:
            task.set_accelerator_type(machine.accelerator).set_accelerator_limit(machine.count)
        return
    _place_on_kubernetes(task, machine)


def _place_on_kubernetes(task: Any, machine: Machine) -> None:  # noqa: ANN401 (a kfp PipelineTask)
    from kfp import kubernetes

    selector = dict(machine.node_selector)
    if machine.accelerator:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(machine.count)
        name = _GKE_NAMES.get(machine.accelerator, machine.accelerator.lower().replace("_", "-"))
        selector = selector or {"cloud.google.com/gke-accelerator": name}
    elif machine.tpu_topology:
        task.set_accelerator_type("google.com/tpu").set_accelerator_limit(machine.replicas)
        for name, value in TPU_ENVIRONMENT.items():
            task.set_env_variable(name, value)
        selector = selector or {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
            "cloud.google.com/gke-tpu-topology": machine.tpu_topology,
        }
    else:
        # A pod that asks for all of a node's cores finds no node: a part of each is the cluster's own.
        offer = offered()[machine.machine_type]
        task.set_cpu_request(str(offer.cpus * 0.8)).set_memory_request(f"{round(offer.memory_gb * 800)}M")
    if resource := task.container_spec.resources and task.container_spec.resources.accelerator_type:
        # Nodes with GPUs are commonly kept free of other pods by this taint.
        kubernetes.add_toleration(task, resource, "Exists", effect="NoSchedule")
    if machine.spot:
        selector = {**selector, "cloud.google.com/gke-spot": "true"}
        kubernetes.add_toleration(task, "cloud.google.com/gke-spot", "Equal", "true", "NoSchedule")
    for key, value in selector.items():
        kubernetes.add_node_selector(task, key, value)
    if machine.timeout_hours:
        kubernetes.set_timeout(task, round(machine.timeout_hours * 3600))
