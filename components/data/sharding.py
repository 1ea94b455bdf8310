"""How several replicas of a model share the batches of a split."""

from dataclasses import dataclass

import tensorflow as tf

from components.artifacts.dataset import DatasetInfo
from components.common.no_autograph import no_autograph


@dataclass(frozen=True)
class Share:
    """The part of each batch that a process makes, where several replicas of a model train together.

    Each replica gets an equal part of every batch, so up to replicas - 1 examples of an epoch's last batch are
    left out; they are others in each epoch.

    Attributes:
        replicas: Copies of the model, over all workers.
        workers: Processes that train together.
        worker: The number of this one.
        full_batches: Leave an epoch's last batch out where it is smaller: a TPU's shapes are fixed.
    """

    replicas: int = 1
    workers: int = 1
    worker: int = 0
    full_batches: bool = False


ALONE = Share()


def steps_per_epoch(info: DatasetInfo, split: str, batch_size: int, share: Share = ALONE) -> int:
    """Batches in one pass over `split`; the last one may be smaller."""
    return -(-examples_used(info, split, batch_size, share) // batch_size)


def examples_used(info: DatasetInfo, split: str, batch_size: int, share: Share) -> int:
    """Examples of a split that one pass uses."""
    rest = info.examples(split) % batch_size
    return info.examples(split) - (rest if share.full_batches else rest % share.replicas)


def evaluation_batch(info: DatasetInfo, split: str, largest: int, share: Share) -> int:
    """A size of batches for a pass over a split that every replica has an equal part of.

    Where batches have to be full, one that leaves few examples out: fewer than there are batches or replicas.
    """
    size = largest
    if share.full_batches:
        examples = info.examples(split)
        size = examples // -(-examples // largest)
    return max(size // share.replicas, 1) * share.replicas


def part(size: tf.Tensor, share: Share) -> slice:
    """The places in a batch of `size` that this worker makes: the workers' parts lie one after another."""
    each = size // share.workers
    return slice(share.worker * each, (share.worker + 1) * each)


def static_shapes(batches: tf.data.Dataset, batch_size: int, share: Share) -> tf.data.Dataset:
    """Where batches are full, with their size in their shapes, as a TPU's compiler wants it."""
    if not share.full_batches:
        return batches

    def sized(value: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(value, [batch_size // share.workers, *value.shape[1:]])

    return batches.map(no_autograph(lambda *batch: tf.nest.map_structure(sized, batch)))
