"""What a training process finds to train on: one device, several GPUs, a TPU, or several workers."""

import functools
import importlib.metadata
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import tensorflow as tf

from components.common.errors import InputError
from components.data.replicas import BatchShare

Numbers = TypeVar("Numbers", float, list[float], list[list[float]])


@dataclass(frozen=True)
class Devices:
    """What a process trains on.

    Attributes:
        strategy: The default strategy where there is one device: then nothing is distributed.
        found: What was found, for the log.
        workers: Processes that train together.
        worker: The number of this one.
        chief: Whether this process writes what all of them made.
        accelerator: Whether there is a GPU or a TPU.
        tpu: Whether it is a TPU.
    """

    strategy: tf.distribute.Strategy
    found: str
    workers: int = 1
    worker: int = 0
    chief: bool = True
    accelerator: bool = False
    tpu: bool = False

    @property
    def replicas(self) -> int:
        """Copies of the model that see a part of each batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def distributed(self) -> bool:
        """Whether there is a strategy beside the default one: a TPU of one core has one too."""
        return self.replicas > 1 or self.tpu

    @property
    def share(self) -> BatchShare:
        """The part of each batch that this process makes."""
        return BatchShare(self.replicas, self.workers, self.worker, full_batches=self.tpu)

    def of_all_workers(self, values: Numbers) -> list[Numbers]:
        """What every worker gives, in their order. All of them have to call it, and wait for each other.

        Args:
            values: A number, or nested lists of numbers; of one shape in all workers. float64 holds them.
        """
        if self.workers == 1:
            return [values]
        rows = _gather(self.strategy)(tf.constant(values, tf.float64)).numpy()
        return rows[:: self.replicas // self.workers].tolist()


@functools.cache
def find_devices() -> Devices:
    """Look for devices and for other workers, and choose the strategy of tf.distribute that uses them.

    Several workers are found in TF_CONFIG, as Vertex AI sets it
    (cloud.google.com/vertex-ai/docs/training/distributed-training). Has to come before anything else of
    TensorFlow's, since collectives between workers are set up first. A process has one strategy: the collectives of
    a second one would be taken for those of the first.
    """
    cluster, task, index = _cluster()
    gpus = tf.config.list_physical_devices("GPU")
    if len(cluster) > 1:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        worker = cluster.index((task, index))
        found = f"worker {worker + 1} of {len(cluster)}, {strategy.num_replicas_in_sync} replicas in all"
        return Devices(strategy, found, len(cluster), worker, worker == 0, bool(gpus))
    if _has_tpu():
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
        return Devices(strategy, f"a TPU of {strategy.num_replicas_in_sync} cores", accelerator=True, tpu=True)
    # Several logical CPUs are made by tests alone; they stand for several GPUs.
    for kind in ("GPU", "CPU"):
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        if len(names) > 1:
            return Devices(tf.distribute.MirroredStrategy(names), f"{len(names)} {kind}s", accelerator=kind == "GPU")
    return Devices(tf.distribute.get_strategy(), "a GPU" if gpus else "the CPU", accelerator=bool(gpus))


@functools.cache
def _gather(strategy: tf.distribute.Strategy) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(reduce_retracing=True, autograph=False)
    def gather(value: tf.Tensor) -> tf.Tensor:
        """[replicas, …]."""

        def on_replica() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(value[tf.newaxis], axis=0)

        return strategy.experimental_local_results(strategy.run(on_replica))[0]

    return gather


def dtype_policy(precision: str, accelerator: bool) -> str:
    """Keras' dtype policy of a training: mixed precision is for accelerators, on a CPU it is slower."""
    return precision if accelerator else "float32"


def _cluster() -> tuple[list[tuple[str, int]], str, int]:
    """Tasks of the cluster, the chief first, and which of them this process is."""
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
        hosts = config.get("cluster") or {}
        tasks = [(kind, i) for kind in ("chief", "worker") for i in range(len(hosts.get(kind, [])))]
        task = config.get("task") or {}
        kind, index = task.get("type", ""), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"TF_CONFIG: {text[:100]!r}, expected JSON with cluster and task") from None
    if len(tasks) > 1 and (kind, index) not in tasks:
        raise InputError(f"TF_CONFIG: this is task {kind} {index}, expected a chief or worker of its cluster")
    return tasks, kind, index


def _has_tpu() -> bool:
    try:
        importlib.metadata.version("tensorflow-tpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return bool(list(Path("/dev").glob("accel*")) or list(Path("/dev/vfio").glob("[0-9]*")))
