"""The division of a split's batches between the replicas of a model."""

from dataclasses import dataclass

import tensorflow as tf

from components.artifacts.dataset import DatasetInfo
from components.common.no_autograph import no_autograph
from components.data.storage import without_autotune


@dataclass(frozen=True)
class BatchShare:
    """The part of each batch that a process computes, where several replicas of a model train together.

    Each replica gets an equal part of every batch. So up to replicas - 1 examples of an epoch's last batch are left
    out. They are others in each epoch.

    Attributes:
        replicas: The number of copies of the model, over all workers.
        workers: The number of processes that train together.
        worker: The number of this process, from 0.
        full_batches: Whether an epoch's last batch is left out where it is smaller, for the shapes on a TPU are fixed.
    """

    replicas: int = 1
    workers: int = 1
    worker: int = 0
    full_batches: bool = False


WHOLE = BatchShare()


def steps_per_epoch(info: DatasetInfo, split: str, batch_size: int, share: BatchShare = WHOLE) -> int:
    """The number of batches in one pass over a split. The last one may be smaller."""
    return -(-examples_used(info, split, batch_size, share) // batch_size)


def examples_used(info: DatasetInfo, split: str, batch_size: int, share: BatchShare) -> int:
    """The number of examples that one pass over a split uses."""
    rest = info.examples(split) % batch_size
    return info.examples(split) - (rest if share.full_batches else rest % share.replicas)


def evaluation_batch_size(info: DatasetInfo, split: str, largest: int, share: BatchShare) -> int:
    """The batch size for a pass over a split in which every replica has an equal part of each batch.

    Where batches have to be full, the size is one that leaves out fewer examples than there are batches or replicas.
    """
    size = largest
    if share.full_batches:
        examples = info.examples(split)
        size = examples // -(-examples // largest)
    return max(size // share.replicas, 1) * share.replicas


def worker_slice(size: tf.Tensor, share: BatchShare) -> slice:
    """This worker's part of a batch. The parts of the workers follow each other."""
    each = size // share.workers
    return slice(share.worker * each, (share.worker + 1) * each)


def static_shapes(batches: tf.data.Dataset, batch_size: int, share: BatchShare) -> tf.data.Dataset:
    """Set the batch size in the shapes of full batches, for a TPU's compiler needs it."""
    if not share.full_batches:
        return batches

    def sized(value: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(value, [batch_size // share.workers, *value.shape[1:]])

    return batches.map(no_autograph(lambda *batch: tf.nest.map_structure(sized, batch)))


def per_replica(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Cut each batch into equal parts, one for each replica of this worker, as tf.distribute's datasets have them."""
    if replicas == 1:
        return batches

    def cut(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(value, tf.concat([[replicas, tf.shape(value)[0] // replicas], tf.shape(value)[1:]], 0))

    return without_autotune(batches.map(no_autograph(lambda *batch: tf.nest.map_structure(cut, batch))).unbatch())
