"""The one input pipeline: from a data set folder to batches of raw examples, in tf.data.

Records are batched before they are parsed. Examples that fit are kept in memory, decoded, and a batch is a
gather; others are streamed from the shards. Either way the order of an epoch is a pure function of (seed,
epoch), so training can go on from any step without replaying what came before.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.dataset import DatasetInfo, ImagesInfo, SeriesInfo, shards
from components.share import ALONE, Share, examples_used, part, static, steps_per_epoch
from components.tracing import as_written

# Decoded images of more bytes than this are streamed from disk.
CACHE_BYTES = 256 << 20
# Records in the shuffle buffer of a streamed training split.
SHUFFLE_RECORDS = 8192
_READ_BATCH = 512
PARALLEL = os.cpu_count() or 1
PREFETCH = 8
# Of a stored image.
IMAGE_FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


def _fixed(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's autotuning, whose model thread holds the end of a pass up for a fifth of a second and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.with_options(options)


def in_order(
    folder: Path | str, info: DatasetInfo, split: str, batch_size: int, share: Share = ALONE, *, again: bool = False
) -> tf.data.Dataset:
    """One pass over a split, in the order it is stored.

    Args:
        folder: The data set folder.
        info: Its description.
        split: "train", "validation" or "test".
        batch_size: Examples per batch, over all workers; the last batch may be smaller.
        share: The part of each batch that is made here.
        again: It will be read more than once: where the images of the data set fit, they are decoded once.

    Returns:
        Batches of (inputs, target). Classification: image uint8 [batch, height, width, channels] and label
        int64 [batch]. Forecasting: {"window": float32 [batch, lookback, columns], "future": float32 [batch,
        horizon, known]} and float32 [batch, horizon], all in raw units; "future" only where columns are known.
    """
    count = steps_per_epoch(info, split, batch_size, share)
    used = examples_used(info, split, batch_size, share)
    if isinstance(info, ImagesInfo) and not (again and _fit(info)):
        batches = tf.data.TFRecordDataset([str(path) for path in shards(folder, split)]).take(used).batch(batch_size)
        batches = batches.map(as_written(lambda records: records[part(tf.size(records), share)]))
        images = batches.map(_image_parser(info.shape), num_parallel_calls=PARALLEL)
        images = static(images.apply(tf.data.experimental.assert_cardinality(count)), batch_size, share)
        return _fixed(images.prefetch(PREFETCH))
    steps, held = tf.data.Dataset.range(count), _held(folder, info, split)

    @as_written
    def batch(step: tf.Tensor) -> object:
        return _examples(held, _places(step, batch_size, used, share), info)

    return _fixed(static(steps.map(batch, num_parallel_calls=PARALLEL), batch_size, share).prefetch(PREFETCH))


def shuffled(
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
        Batches as `in_order` gives them, without gaps between epochs.
    """
    per_epoch = steps_per_epoch(info, split, batch_size, share)
    examples, used = info.examples(split), examples_used(info, split, batch_size, share)
    if isinstance(info, ImagesInfo) and not _fit(info):
        streamed = _streamed(folder, info, split, batch_size, seed, epochs, first_step, share)
        return _fixed(static(_flipped(streamed, seed, first_step, share) if flip else streamed, batch_size, share))

    steps, held = tf.data.Dataset.range(first_step, epochs * per_epoch), _held(folder, info, split)

    @as_written
    def batch(step: tf.Tensor) -> object:
        places = _places(step % per_epoch, batch_size, used, share)
        order_seed = tf.stack([tf.constant(seed, tf.int64), step // per_epoch])
        places = tf.random.experimental.index_shuffle(places, order_seed, max_index=examples - 1)
        return _examples(held, places, info)

    batches = steps.map(batch, num_parallel_calls=PARALLEL)
    batches = _flipped(batches, seed, first_step, share) if flip else batches
    return _fixed(static(batches, batch_size, share).prefetch(PREFETCH))


def stored_images(
    folder: Path | str, split: str, shape: Sequence[int], batch_size: int = _READ_BATCH
) -> tf.data.Dataset:
    """Batches of (uint8 [batch, *shape], int64 [batch]) in the order they are stored."""
    records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split)])
    parse = _image_parser(shape)
    return _fixed(records.batch(batch_size).map(parse, num_parallel_calls=PARALLEL))


def row_features(stored: int) -> dict[str, tf.io.FixedLenFeature]:
    """The features of a stored row of a series with so many columns."""
    return {"time": tf.io.FixedLenFeature([], tf.int64), "values": tf.io.FixedLenFeature([stored], tf.float32)}


def stored_rows(folder: Path | str, split: str, stored: int) -> tf.data.Dataset:
    """Batches of (time int64 [batch], values float32 [batch, stored]) in time order."""
    features = row_features(stored)

    @as_written
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, features)
        return parsed["time"], parsed["values"]

    records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split)])
    return _fixed(records.batch(8 * _READ_BATCH).map(parse, num_parallel_calls=PARALLEL))


def load_rows(folder: Path | str, info: SeriesInfo, split: str) -> np.ndarray:
    """All rows of a split, float32 [rows, stored]. Windows overlap, so rows are held once and cut later."""
    return np.concatenate([v for _, v in stored_rows(folder, split, len(info.stored)).as_numpy_iterator()])


def load_images(folder: Path | str, info: ImagesInfo, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a split, uint8 [images, height, width, channels], and their labels, int64 [images]."""
    count, done = info.examples(split), 0
    # Put together from a list of batches they would be in memory twice.
    images, labels = np.empty((count, *info.shape), np.uint8), np.empty(count, np.int64)
    for some, named in stored_images(folder, split, info.shape).as_numpy_iterator():
        here = slice(done, done + len(named))
        images[here], labels[here], done = some, named, done + len(named)
    return images[:done], labels[:done]


def _fit(info: ImagesInfo) -> bool:
    """Whether the decoded images are held in memory while a model is trained."""
    return info.examples("train") * int(np.prod(info.shape)) <= CACHE_BYTES


def _held(folder: Path | str, info: DatasetInfo, split: str) -> list[tf.Tensor]:
    """A split in memory: its images and labels, or its rows."""
    if isinstance(info, SeriesInfo):
        return [tf.constant(load_rows(folder, info, split))]
    return [tf.constant(array) for array in load_images(folder, info, split)]


def _examples(held: list[tf.Tensor], places: tf.Tensor, info: DatasetInfo) -> object:
    """The examples at these places of what `_held` gave."""
    if isinstance(info, SeriesInfo):
        return _windows(held[0], places, info)
    return tuple(tf.gather(array, places) for array in held)


def _image_parser(shape: Sequence[int]) -> object:
    def decode(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=shape[-1], expand_animations=False)
        return tf.ensure_shape(image, shape)

    @as_written
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, IMAGE_FEATURES)
        spec = tf.TensorSpec(shape, tf.uint8)
        return tf.map_fn(decode, parsed["image"], fn_output_signature=spec), parsed["label"]

    return parse


def _places(step: tf.Tensor, batch_size: int, used: int, share: Share) -> tf.Tensor:
    first = step * batch_size
    return tf.range(first, tf.minimum(first + batch_size, used))[part(tf.minimum(used - first, batch_size), share)]


def per_replica(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Cut each batch into equal ones, one for each replica of this worker, as a strategy's own datasets hold them."""
    if replicas == 1:
        return batches

    def cut(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(value, tf.concat([[replicas, tf.shape(value)[0] // replicas], tf.shape(value)[1:]], 0))

    return _fixed(batches.map(as_written(lambda *batch: tf.nest.map_structure(cut, batch))).unbatch())


def _windows(rows: tf.Tensor, first: tf.Tensor, info: SeriesInfo) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Cut the windows that start at the rows `first`."""
    offsets = tf.range(info.lookback + info.horizon, dtype=first.dtype)
    values = tf.gather(rows, first[:, None] + offsets)
    values = tf.ensure_shape(values, [None, info.lookback + info.horizon, len(info.stored)])
    inputs = {"window": values[:, : info.lookback, : len(info.columns)]}
    if info.known:
        inputs["future"] = tf.gather(values[:, info.lookback :], info.known_places(), axis=2)
    return inputs, values[:, info.lookback :, 0]


def _flipped(batches: tf.data.Dataset, seed: int, first_step: int, share: Share) -> tf.data.Dataset:
    @as_written
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
    """Batches from disk: this worker's shards in random order, four at a time, through a shuffle buffer."""
    paths = [str(path) for path in shards(folder, split)]
    by_file = len(paths) >= share.workers
    own = tf.constant(paths[share.worker :: share.workers] if by_file else paths)
    per_epoch = steps_per_epoch(info, split, batch_size, share)
    each = examples_used(info, split, batch_size, share) // share.workers
    parse = _image_parser(info.shape)

    @as_written
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        # tf.data mixes the global seed into the seed of a shuffle, and can't compare a tensor with a global
        # seed of 0. This one is that of the traced function alone.
        tf.compat.v1.set_random_seed(1)
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.index_shuffle(
            tf.range(len(own), dtype=tf.int64), order_seed, max_index=len(own) - 1
        )
        files = tf.data.Dataset.from_tensor_slices(tf.gather(own, order))
        records = files.interleave(tf.data.TFRecordDataset, cycle_length=4, block_length=16)
        if not by_file:
            records = records.shard(share.workers, share.worker)
        own_seed = tf.stack([tf.constant(seed, tf.int64), epoch + (share.worker << 32)])
        buffer_seed = tf.random.stateless_uniform([], own_seed, None, None, tf.int64)
        records = records.shuffle(SHUFFLE_RECORDS, seed=buffer_seed, reshuffle_each_iteration=False)
        if share.workers > 1:
            # Shards differ in size, and a worker that ran out would leave the others waiting for it.
            records = records.repeat()
        batches = records.take(each).batch(batch_size // share.workers)
        skipped = tf.cast(tf.where(epoch == first_step // per_epoch, first_step % per_epoch, 0), tf.int64)
        return batches.skip(skipped).map(parse, num_parallel_calls=PARALLEL)

    epoch_numbers = tf.data.Dataset.range(first_step // per_epoch, epochs)
    return epoch_numbers.flat_map(epoch_batches).prefetch(PREFETCH)
