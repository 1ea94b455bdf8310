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

# Decoded images of more bytes than this are streamed from disk.
CACHE_BYTES = 256 << 20
# Records in the shuffle buffer of a streamed training split.
SHUFFLE_RECORDS = 8192
_READ_BATCH = 512
PARALLEL = os.cpu_count() or 1
PREFETCH = 8


def _fixed(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's autotuning, whose model thread holds the end of a pass up for a fifth of a second and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.with_options(options)


def steps_per_epoch(info: DatasetInfo, split: str, batch_size: int) -> int:
    """Batches in one pass over `split`; the last one may be smaller."""
    return -(-info.examples(split) // batch_size)


def in_order(folder: Path | str, info: DatasetInfo, split: str, batch_size: int) -> tf.data.Dataset:
    """One pass over a split, in the order it is stored.

    Args:
        folder: The data set folder.
        info: Its description.
        split: "train", "validation" or "test".
        batch_size: Examples per batch; the last batch may be smaller.

    Returns:
        Batches of (inputs, target). Classification: image uint8 [batch, height, width, channels] and label
        int64 [batch]. Forecasting: {"window": float32 [batch, lookback, columns], "future": float32 [batch,
        horizon, known]} and float32 [batch, horizon], all in raw units; "future" only where columns are known.
    """
    if isinstance(info, ImagesInfo):
        images = stored_images(folder, split, info.shape, batch_size)
        count = tf.data.experimental.assert_cardinality(steps_per_epoch(info, split, batch_size))
        return _fixed(images.apply(count).prefetch(PREFETCH))
    steps = tf.data.Dataset.range(steps_per_epoch(info, split, batch_size))
    examples = info.examples(split)
    rows = tf.constant(load_rows(folder, info, split))

    def batch(step: tf.Tensor) -> object:
        return _windows(rows, _places(step, batch_size, examples), info)

    return _fixed(steps.map(batch, num_parallel_calls=PARALLEL).prefetch(PREFETCH))


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
) -> tf.data.Dataset:
    """The batches of `epochs` passes over a split, each pass in an order of its own.

    Args:
        folder: The data set folder.
        info: Its description.
        split: Usually "train".
        batch_size: Examples per batch; the last batch of an epoch may be smaller.
        seed: Order and flips depend on it, the epoch and the step alone.
        epochs: How many passes.
        first_step: Start at this step, counted over all epochs.
        flip: Mirror each image left to right with probability one half.

    Returns:
        Batches as `in_order` gives them, without gaps between epochs.
    """
    per_epoch = steps_per_epoch(info, split, batch_size)
    examples = info.examples(split)
    if isinstance(info, ImagesInfo) and examples * int(np.prod(info.shape)) > CACHE_BYTES:
        streamed = _streamed(folder, info, split, batch_size, seed, epochs, first_step)
        return _fixed(_flipped(streamed, seed, first_step) if flip else streamed)

    steps = tf.data.Dataset.range(first_step, epochs * per_epoch)
    if isinstance(info, SeriesInfo):
        cached = [tf.constant(load_rows(folder, info, split))]
    else:
        cached = [tf.constant(part) for part in load_images(folder, info, split)]

    def batch(step: tf.Tensor) -> object:
        places = _places(step % per_epoch, batch_size, examples)
        order_seed = tf.stack([tf.constant(seed, tf.int64), step // per_epoch])
        places = tf.random.experimental.index_shuffle(places, order_seed, max_index=examples - 1)
        if isinstance(info, SeriesInfo):
            return _windows(cached[0], places, info)
        return tuple(tf.gather(part, places) for part in cached)

    batches = steps.map(batch, num_parallel_calls=PARALLEL)
    return _fixed((_flipped(batches, seed, first_step) if flip else batches).prefetch(PREFETCH))


def stored_images(
    folder: Path | str, split: str, shape: Sequence[int], batch_size: int = _READ_BATCH
) -> tf.data.Dataset:
    """Batches of (uint8 [batch, *shape], int64 [batch]) in the order they are stored."""
    records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split)])
    parse = _image_parser(shape)
    return _fixed(records.batch(batch_size).map(parse, num_parallel_calls=PARALLEL))


def stored_rows(folder: Path | str, split: str, stored: int) -> tf.data.Dataset:
    """Batches of (time int64 [batch], values float32 [batch, stored]) in time order."""
    features = {
        "time": tf.io.FixedLenFeature([], tf.int64),
        "values": tf.io.FixedLenFeature([stored], tf.float32),
    }

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
    batches = list(stored_images(folder, split, info.shape).as_numpy_iterator())
    return np.concatenate([i for i, _ in batches]), np.concatenate([n for _, n in batches])


def _image_parser(shape: Sequence[int]) -> object:
    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def decode(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=shape[-1], expand_animations=False)
        return tf.ensure_shape(image, shape)

    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, features)
        spec = tf.TensorSpec(shape, tf.uint8)
        return tf.map_fn(decode, parsed["image"], fn_output_signature=spec), parsed["label"]

    return parse


def _places(step: tf.Tensor, batch_size: int, examples: int) -> tf.Tensor:
    first = step * batch_size
    return tf.range(first, tf.minimum(first + batch_size, examples))


def _windows(rows: tf.Tensor, first: tf.Tensor, info: SeriesInfo) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Cut the windows that start at the rows `first`."""
    offsets = tf.range(info.lookback + info.horizon, dtype=first.dtype)
    values = tf.gather(rows, first[:, None] + offsets)
    values = tf.ensure_shape(values, [None, info.lookback + info.horizon, len(info.stored)])
    inputs = {"window": values[:, : info.lookback, : len(info.columns)]}
    if info.known:
        inputs["future"] = tf.gather(values[:, info.lookback :], info.known_places(), axis=2)
    return inputs, values[:, info.lookback :, 0]


def _flipped(batches: tf.data.Dataset, seed: int, first_step: int) -> tf.data.Dataset:
    def flip(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        flip_seed = tf.stack([tf.constant(seed, tf.int64), step])
        return tf.image.stateless_random_flip_left_right(images, seed=flip_seed), labels

    return batches.enumerate(start=first_step).map(flip, num_parallel_calls=PARALLEL)


def _streamed(
    folder: Path | str,
    info: ImagesInfo,
    split: str,
    batch_size: int,
    seed: int,
    epochs: int,
    first_step: int,
) -> tf.data.Dataset:
    """Batches from disk: shards in random order, four at a time, through a shuffle buffer."""
    paths = tf.constant([str(path) for path in shards(folder, split)])
    per_epoch = steps_per_epoch(info, split, batch_size)
    parse = _image_parser(info.shape)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        # tf.data mixes the global seed into the seed of a shuffle, and can't compare a tensor with a global
        # seed of 0. This one is that of the traced function alone.
        tf.compat.v1.set_random_seed(1)
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.index_shuffle(
            tf.range(len(paths), dtype=tf.int64), order_seed, max_index=len(paths) - 1
        )
        files = tf.data.Dataset.from_tensor_slices(tf.gather(paths, order))
        records = files.interleave(tf.data.TFRecordDataset, cycle_length=4, block_length=16)
        buffer_seed = tf.random.stateless_uniform([], order_seed, None, None, tf.int64)
        records = records.shuffle(SHUFFLE_RECORDS, seed=buffer_seed, reshuffle_each_iteration=False)
        skipped = tf.cast(tf.where(epoch == first_step // per_epoch, first_step % per_epoch, 0), tf.int64)
        return records.batch(batch_size).skip(skipped).map(parse, num_parallel_calls=PARALLEL)

    epoch_numbers = tf.data.Dataset.range(first_step // per_epoch, epochs)
    return epoch_numbers.flat_map(epoch_batches).prefetch(PREFETCH)
