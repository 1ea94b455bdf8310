"""The devices that a process finds to train on: one device, several GPUs, a TPU, or several workers."""

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
    """The devices that a process trains on.

    Attributes:
        strategy: The strategy of tf.distribute: for one device the default one, which distributes nothing.
        found: The devices in words, for the log.
        workers: The number of processes that train together.
        worker: The number of this process, from 0.
        chief: Whether this process writes the results of all.
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
        """The number of copies of the model, each of which gets a part of each batch."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def distributed(self) -> bool:
        """Whether there is another strategy than the default one, which a TPU of one core has, too."""
        return self.replicas > 1 or self.tpu

    @property
    def share(self) -> BatchShare:
        """The part of each batch that this process computes."""
        return BatchShare(self.replicas, self.workers, self.worker, full_batches=self.tpu)

    def of_all_workers(self, values: Numbers) -> list[Numbers]:
        """Gather the numbers of all workers, in their order. Each worker has to call it, and waits for the others.

        Args:
            values: A number or nested lists of numbers, of the same shape in all workers. They become float64.
        """
        if self.workers == 1:
            return [values]
        rows = _gather(self.strategy)(tf.constant(values, tf.float64)).numpy()
        return rows[:: self.replicas // self.workers].tolist()


@functools.cache
def find_devices() -> Devices:
    """Look for devices and for other workers, and choose the strategy of tf.distribute that uses them.

    Several workers are found by TF_CONFIG, which Vertex AI sets
    (cloud.google.com/vertex-ai/docs/training/distributed-training). This call has to come before any other use of
    TensorFlow, for it sets up the collectives between workers. A process has one strategy, for the collectives of a
    second one would be taken for those of the first.
    """
    cluster, task, index = _cluster()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        # Kernels of a GPU add in any order where they aren't told otherwise.
        tf.config.experimental.enable_op_determinism()
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
    # Only tests make several logical CPUs, which stand for several GPUs.
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
    """Keras' dtype policy of a training. Mixed precision is for accelerators, and would be slower on a CPU."""
    return precision if accelerator else "float32"


def _cluster() -> tuple[list[tuple[str, int]], str, int]:
    """The tasks of the cluster, the chief first, and the kind and number of this process' task."""
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
