"""The records of a data set folder: images and labels, or the rows of a series, as they were written."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.common.errors import InputError
from components.common.no_autograph import no_autograph
from components.data.shards import shards

PARALLEL = os.cpu_count() or 1
_NAME = {"file": tf.io.FixedLenFeature([], tf.string)}
_IMAGE_FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
# Images of a batch that is only read; of rows, which are small, eight times as many.
_READ_BATCH = 512
# Images that are decoded side by side, each by operations of its own: a loop over the images costs half as much again.
SIDE_BY_SIDE = 64
# Of large images fewer are read and decoded together.
_TOGETHER_BYTES = 8 << 20


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's autotuning, whose model thread holds the end of a pass up for a fifth of a second and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.with_options(options)


def decoded(records: tf.data.Dataset, shape: Sequence[int], batch_size: int) -> tf.data.Dataset:
    """Decode stored images.

    Args:
        records: Batches of serialized examples, of any size.
        shape: Of the images.
        batch_size: Images per batch; the last one may be smaller.

    Returns:
        Batches of (uint8 [batch, *shape], int64 [batch]), in the records' order.
    """
    together = _together(SIDE_BY_SIDE, shape)

    def decode(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=shape[-1], expand_animations=False)
        return tf.ensure_shape(image, shape)

    @no_autograph
    def parse(few: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.size(few)
        filled = tf.concat([few, tf.repeat(few[:1], together - size)], 0)
        parsed = tf.io.parse_example(tf.ensure_shape(filled, [together]), _IMAGE_FEATURES)
        images = tf.stack([decode(data) for data in tf.unstack(parsed["image"])])
        return images[:size], parsed["label"][:size]

    return records.rebatch(together).map(parse, num_parallel_calls=PARALLEL).rebatch(batch_size)


def read_images(folder: Path | str, split: str, shape: Sequence[int], count: int | None = None) -> tf.data.Dataset:
    """Batches of (uint8 [batch, *shape], int64 [batch]) in the order they are stored.

    Raises:
        InputError: A shard lacks records, or all together aren't `count`.
    """
    records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split, count)])
    batch_size = _together(_READ_BATCH, shape)
    return without_autotune(decoded(records.batch(batch_size), shape, batch_size))


def record_features(named: bool) -> dict[str, tf.io.FixedLenFeature]:
    """The features of a stored image, one of which is the name of its file or not."""
    return _IMAGE_FEATURES | _NAME if named else _IMAGE_FEATURES


def load_names(folder: Path | str, info: ImagesInfo, split: str) -> list[str]:
    """The names of the files that the images of a split were read from, in their order; empty where they have none."""
    if not info.named:
        return []
    records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split, info.records[split])])
    names = records.batch(_READ_BATCH).map(no_autograph(lambda batch: tf.io.parse_example(batch, _NAME)["file"]))
    return [name.decode() for batch in names.as_numpy_iterator() for name in batch]


def _together(most: int, shape: Sequence[int]) -> int:
    return max(1, min(most, _TOGETHER_BYTES // int(np.prod(shape))))


def row_features(stored: int) -> dict[str, tf.io.FixedLenFeature]:
    """The features of a stored row of a series with so many columns."""
    return {"time": tf.io.FixedLenFeature([], tf.int64), "values": tf.io.FixedLenFeature([stored], tf.float32)}


def read_rows(folder: Path | str, split: str, stored: int, count: int | None = None) -> tf.data.Dataset:
    """Batches of (time int64 [batch], values float32 [batch, stored]) in time order.

    Raises:
        InputError: A shard lacks records, or all together aren't `count`.
    """
    features = row_features(stored)

    @no_autograph
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(records, features)
        return parsed["time"], parsed["values"]

    records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split, count)])
    return without_autotune(records.batch(8 * _READ_BATCH).map(parse, num_parallel_calls=PARALLEL))


def load_rows(folder: Path | str, info: SeriesInfo, split: str) -> np.ndarray:
    """All rows of a split, float32 [rows, stored]. Windows overlap, so rows are held once and cut later."""
    count = info.records[split]
    rows = np.concatenate([v for _, v in read_rows(folder, split, len(info.stored), count).as_numpy_iterator()])
    check_all_came(folder, split, len(rows), count)
    return rows


def load_images(folder: Path | str, info: ImagesInfo, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a split, uint8 [images, height, width, channels], and their labels, int64 [images]."""
    count, done = info.examples(split), 0
    # Put together from a list of batches they would be in memory twice.
    images, labels = np.empty((count, *info.shape), np.uint8), np.empty(count, np.int64)
    for some, named in read_images(folder, split, info.shape, count).as_numpy_iterator():
        here = slice(done, done + len(named))
        images[here], labels[here], done = some, named, done + len(named)
    check_all_came(folder, split, done, count)
    return images, labels


def check_all_came(folder: Path | str, split: str, found: int, expected: int) -> None:
    """Compare the number of records that were read with that of the description.

    Raises:
        InputError: They differ.
    """
    if found != expected:
        raise InputError(f"{folder}: {found:,} records of {split} were read, expected {expected:,}")
