"""The one input pipeline: from a data set folder to batches of raw examples, in tf.data.

Records are batched before they are parsed. Examples that fit are kept in memory, decoded, and a batch is a
gather; others are streamed from the shards. Either way the order of an epoch is a pure function of (seed,
epoch), so training can go on from any step without replaying what came before.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, ImagesInfo, SeriesInfo
from components.common.no_autograph import no_autograph
from components.data.sharding import ALONE, Share, examples_used, part, static_shapes, steps_per_epoch
from components.data.shards import shards
from components.data.storage import PARALLEL, check_all_came, decoded, read_images, read_rows, without_autotune

# Decoded images of more bytes than this are streamed from disk.
CACHE_BYTES = 256 << 20
# Of a streamed training split so many records are put in a random order at once, fewer where images are large.
SHUFFLE_RECORDS = 8192
SHUFFLE_BYTES = 256 << 20
# Shards that are read in turns, so many records at a time.
_SHARDS_AT_ONCE = 4
_READ_TOGETHER = 16
PREFETCH = 8


def sequential_batches(
    folder: Path | str, info: DatasetInfo, split: str, batch_size: int, share: Share = ALONE, *, again: bool = False
) -> tf.data.Dataset:
    """One pass over a split, in the order it is stored.

    Args:
        folder: The data set folder.
        info: Its description.
        split: "train", "validation" or "test".
        batch_size: Examples per batch, over all workers; the last batch may be smaller.
        share: The part of each batch that is made here.
        again: It will be read more than once: images that fit are decoded once.

    Returns:
        Batches of (inputs, target). Classification: image uint8 [batch, height, width, channels] and label
        int64 [batch]. Forecasting: {"window": float32 [batch, lookback, columns], "future": float32 [batch,
        horizon, known]} and float32 [batch, horizon], all in raw units; "future" only where columns are known.

    Raises:
        InputError: A shard lacks records, here and in `shuffled_batches`.
    """
    count = steps_per_epoch(info, split, batch_size, share)
    used = examples_used(info, split, batch_size, share)
    if isinstance(info, ImagesInfo) and not (again and _fit(info, split)):
        paths = [str(path) for path in shards(folder, split, info.records[split])]
        records = tf.data.TFRecordDataset(paths).take(used).batch(batch_size)
        own = records.map(no_autograph(lambda batch: batch[part(tf.size(batch), share)]))
        images = decoded(own, info.shape, batch_size // share.workers)
        images = static_shapes(images.apply(tf.data.experimental.assert_cardinality(count)), batch_size, share)
        return without_autotune(images.prefetch(PREFETCH))
    steps, held = tf.data.Dataset.range(count), _held(folder, info, split)

    @no_autograph
    def batch(step: tf.Tensor) -> object:
        return _examples(held, _places(step, batch_size, used, share), info)

    return without_autotune(
        static_shapes(steps.map(batch, num_parallel_calls=PARALLEL), batch_size, share).prefetch(PREFETCH)
    )


def shuffled_batches(
    folder: Path | str,
    info: DatasetInfo,
    split: str,
    batch_size: int,
    *,
    seed: int,
    epochs: int,
    first_step: int = 0,
    flip: bool = False,
    share: Share = ALONE,
) -> tf.data.Dataset:
    """The batches of `epochs` passes over a split, each pass in an order of its own.

    Args:
        folder: The data set folder.
        info: Its description.
        split: Usually "train".
        batch_size: Examples per batch, over all workers; the last batch of an epoch may be smaller.
        seed: Order and flips depend on it, the epoch and the step alone.
        epochs: How many passes.
        first_step: Start at this step, counted over all epochs.
        flip: Mirror each image left to right with probability one half.
        share: The part of each batch that is made here. Of data that are held in memory, the parts of all workers
            together are the batches of a single process; of streamed data, each worker reads shards of its own.

    Returns:
        Batches as `sequential_batches` gives them, without gaps between epochs.
    """
    per_epoch = steps_per_epoch(info, split, batch_size, share)
    examples, used = info.examples(split), examples_used(info, split, batch_size, share)
    if isinstance(info, ImagesInfo) and not _fit(info, split):
        streamed = _streamed(folder, info, split, batch_size, seed, epochs, first_step, share)
        return without_autotune(
            static_shapes(_flipped(streamed, seed, first_step, share) if flip else streamed, batch_size, share)
        )

    steps, held = tf.data.Dataset.range(first_step, epochs * per_epoch), _held(folder, info, split)

    @no_autograph
    def batch(step: tf.Tensor) -> object:
        places = _places(step % per_epoch, batch_size, used, share)
        order_seed = tf.stack([tf.constant(seed, tf.int64), step // per_epoch])
        places = tf.random.experimental.index_shuffle(places, order_seed, max_index=examples - 1)
        return _examples(held, places, info)

    batches = steps.map(batch, num_parallel_calls=PARALLEL)
    batches = _flipped(batches, seed, first_step, share) if flip else batches
    return without_autotune(static_shapes(batches, batch_size, share).prefetch(PREFETCH))


def _fit(info: ImagesInfo, split: str) -> bool:
    """Whether the decoded images of a split are held in memory while a model is trained."""
    return info.examples(split) * int(np.prod(info.shape)) <= CACHE_BYTES


def _held(folder: Path | str, info: DatasetInfo, split: str) -> list[tf.Variable]:
    """A split in memory: its images and labels, or its rows.

    Variables, filled in place: of a tensor that its functions use tf.data makes a copy of its own, and one that is put
    together from batches or comes from NumPy is in memory three times for a while.
    """
    count, done = info.records[split], 0
    if isinstance(info, SeriesInfo):
        stored = read_rows(folder, split, len(info.stored), count)
        stored = stored.map(no_autograph(lambda time, values: (values,)))
    else:
        stored = read_images(folder, split, info.shape, count)
    with tf.device("CPU"):
        held = [tf.Variable(tf.zeros([count, *s.shape[1:]], s.dtype), trainable=False) for s in stored.element_spec]
        for batch in stored:
            places = tf.range(done, done + len(batch[0]))
            for variable, values in zip(held, batch, strict=True):
                variable.scatter_update(tf.IndexedSlices(values, places))
            done += len(batch[0])
    check_all_came(folder, split, done, count)
    return held


def _examples(held: list[tf.Variable], places: tf.Tensor, info: DatasetInfo) -> object:
    """The examples at these places of what `_held` gave."""
    if isinstance(info, SeriesInfo):
        return _windows(held[0], places, info)
    return tuple(tf.gather(values, places) for values in held)


def _places(step: tf.Tensor, batch_size: int, used: int, share: Share) -> tf.Tensor:
    first = step * batch_size
    return tf.range(first, tf.minimum(first + batch_size, used))[part(tf.minimum(used - first, batch_size), share)]


def per_replica(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Cut each batch into equal ones, one for each replica of this worker, as a strategy's own datasets hold them."""
    if replicas == 1:
        return batches

    def cut(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(value, tf.concat([[replicas, tf.shape(value)[0] // replicas], tf.shape(value)[1:]], 0))

    return without_autotune(batches.map(no_autograph(lambda *batch: tf.nest.map_structure(cut, batch))).unbatch())


def _windows(rows: tf.Variable, first: tf.Tensor, info: SeriesInfo) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Cut the windows that start at the rows `first`."""
    offsets = tf.range(info.lookback + info.horizon, dtype=first.dtype)
    values = tf.gather(rows, first[:, None] + offsets)
    values = tf.ensure_shape(values, [None, info.lookback + info.horizon, len(info.stored)])
    inputs = {"window": values[:, : info.lookback, : len(info.columns)]}
    if info.known:
        inputs["future"] = tf.gather(values[:, info.lookback :], info.known_places(), axis=2)
    return inputs, values[:, info.lookback :, 0]


def _flipped(batches: tf.data.Dataset, seed: int, first_step: int, share: Share) -> tf.data.Dataset:
    @no_autograph
    def flip(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        flip_seed = tf.stack([tf.constant(seed, tf.int64), step])
        # Drawn for the whole batch, so that an image is mirrored whichever worker has it.
        size = tf.shape(images)[0] * share.workers
        mirrored = tf.random.stateless_uniform([size], flip_seed)[part(size, share)] > 0.5
        return tf.where(mirrored[:, None, None, None], tf.reverse(images, [2]), images), labels

    return batches.enumerate(start=first_step).map(flip, num_parallel_calls=PARALLEL)


def _streamed(
    folder: Path | str,
    info: ImagesInfo,
    split: str,
    batch_size: int,
    seed: int,
    epochs: int,
    first_step: int,
    share: Share,
) -> tf.data.Dataset:
    """Batches from disk: this worker's shards in random order, four at a time, and their records in random order."""
    paths = [str(path) for path in shards(folder, split, info.records[split])]
    by_file = len(paths) >= share.workers
    own = tf.constant(paths[share.worker :: share.workers] if by_file else paths)
    per_epoch = steps_per_epoch(info, split, batch_size, share)
    each = examples_used(info, split, batch_size, share) // share.workers
    own_size = batch_size // share.workers
    together = max(own_size, min(SHUFFLE_RECORDS, SHUFFLE_BYTES // int(np.prod(info.shape))))

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
        def shuffle(number: tf.Tensor, some: tf.Tensor) -> tf.Tensor:
            return _in_random_order(some, tf.random.fold_in(epoch_seed, number))

        @no_autograph
        def used(number: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
            return batch[: each - number * own_size]

        first = tf.where(epoch == first_step // per_epoch, first_step % per_epoch, 0)
        shuffled = records.rebatch(together).enumerate().map(shuffle)
        # Shards differ in size, and a worker that ran out would leave the others waiting for it.
        batches = (shuffled.repeat() if share.workers > 1 else shuffled).rebatch(own_size)
        batches = batches.enumerate().take(per_epoch).map(used).skip(tf.cast(first, tf.int64))
        return decoded(batches, info.shape, own_size)

    epoch_numbers = tf.data.Dataset.range(first_step // per_epoch, epochs)
    return epoch_numbers.flat_map(epoch_batches).prefetch(PREFETCH)


def _in_random_order(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    count = tf.size(values, out_type=tf.int64)
    return tf.gather(values, tf.random.experimental.index_shuffle(tf.range(count), seed, max_index=count - 1))
