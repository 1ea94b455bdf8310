"""Batches of images that are too large for memory, from the shards on disk."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.dataset import ImagesInfo
from components.common.no_autograph import no_autograph
from components.data.replicas import BatchShare, examples_used, steps_per_epoch
from components.data.storage import decode_images
from components.data.tfrecord_files import tfrecord_paths

# The number of records that are shuffled together, and the most bytes of their decoded images.
SHUFFLE_RECORDS = 8192
SHUFFLE_BYTES = 256 << 20
# The number of shards that are read in turns, and the number of records that are read of one in its turn.
_SHARDS_AT_ONCE = 4
_READ_TOGETHER = 16
PREFETCH = 8


def streamed(
    folder: Path | str,
    info: ImagesInfo,
    split: str,
    batch_size: int,
    seed: int,
    epochs: int,
    first_step: int,
    share: BatchShare,
) -> tf.data.Dataset:
    """Batches of several epochs: this worker's shards in random order, four at a time, with their records shuffled.

    The arguments are those of `shuffled_batches`.
    """
    paths = tfrecord_paths(folder, split, info.records[split])
    by_file = len(paths) >= share.workers
    own = tf.constant(paths[share.worker :: share.workers] if by_file else paths)
    per_epoch = steps_per_epoch(info, split, batch_size, share)
    own_examples = examples_used(info, split, batch_size, share) // share.workers
    own_size = batch_size // share.workers
    shuffle_size = max(own_size, min(SHUFFLE_RECORDS, SHUFFLE_BYTES // int(np.prod(info.shape))))

    @no_autograph
    def read(path: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(path)
        return (records if by_file else records.shard(share.workers, share.worker)).batch(_READ_TOGETHER)

    @no_autograph
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch + (share.worker << 32)])
        files = tf.data.Dataset.from_tensor_slices(_in_random_order(own, epoch_seed))
        records = files.interleave(read, cycle_length=_SHARDS_AT_ONCE, block_length=1)

        @no_autograph
        def shuffle(number: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
            return _in_random_order(group, tf.random.fold_in(epoch_seed, number))

        @no_autograph
        def used(number: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            return batch[: own_examples - number * own_size]

        first = tf.where(epoch == first_step // per_epoch, first_step % per_epoch, 0)
        shuffled = records.rebatch(shuffle_size).enumerate().map(shuffle)
        # Shards differ in size, and the other workers would wait for one that has no records left.
        batches = (shuffled.repeat() if share.workers > 1 else shuffled).rebatch(own_size)
        batches = batches.enumerate().take(per_epoch).map(used).skip(tf.cast(first, tf.int64))
        return decode_images(batches, info.shape, own_size)

    epoch_numbers = tf.data.Dataset.range(first_step // per_epoch, epochs)
    return epoch_numbers.flat_map(epoch_batches).prefetch(PREFETCH)


def _in_random_order(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    count = tf.size(values, out_type=tf.int64)
    return tf.gather(values, tf.random.experimental.index_shuffle(tf.range(count), seed, max_index=count - 1))
