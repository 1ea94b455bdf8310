"""Read the records of a data set's folder: images and labels, or the rows of a series."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.common.errors import InputError
from components.common.no_autograph import no_autograph
from components.data.tfrecord_files import tfrecord_paths

PARALLEL = os.cpu_count() or 1
_FILE_FEATURE = {"file": tf.io.FixedLenFeature([], tf.string)}
_IMAGE_FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
# The number of images in a batch that is only read. Rows are small, and a batch has eight times as many.
_READ_BATCH = 512
# The number of images that are decoded in parallel, each by its own operations. A loop over the images takes 1.5 times
# as long.
PARALLEL_DECODES = 64
# The most bytes of images that are read and decoded together.
_DECODE_BYTES = 8 << 20


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turn off tf.data's autotuning, whose thread delays the end of a pass by a fifth of a second and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.with_options(options)


def decode_images(records: tf.data.Dataset, shape: Sequence[int], batch_size: int) -> tf.data.Dataset:
    """Decode stored images.

    Args:
        records: Batches of serialized examples, of any size.
        shape: The shape of an image.
        batch_size: The number of images in a batch. The last batch may be smaller.

    Returns:
        Batches of (uint8 [batch, *shape], int64 [batch]), in the records' order.
    """
    parsed_together = _at_most(PARALLEL_DECODES, shape)

    def decode(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=shape[-1], expand_animations=False)
        return tf.ensure_shape(image, shape)

    @no_autograph
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size = tf.size(records)
        filled = tf.concat([records, tf.repeat(records[:1], parsed_together - size)], 0)
        parsed = tf.io.parse_example(tf.ensure_shape(filled, [parsed_together]), _IMAGE_FEATURES)
        images = tf.stack([decode(data) for data in tf.unstack(parsed["image"])])
        return images[:size], parsed["label"][:size]

    return records.rebatch(parsed_together).map(parse, num_parallel_calls=PARALLEL).rebatch(batch_size)


def read_images(folder: Path | str, split: str, shape: Sequence[int], count: int | None = None) -> tf.data.Dataset:
    """Batches of (image uint8 [batch, *shape], label int64 [batch]) in the order of the stored records.

    Raises:
        InputError: A shard lacks records, or their number isn't `count`.
    """
    records = tf.data.TFRecordDataset(tfrecord_paths(folder, split, count))
    batch_size = _at_most(_READ_BATCH, shape)
    return without_autotune(decode_images(records.batch(batch_size), shape, batch_size))


def record_features(named: bool) -> dict[str, tf.io.FixedLenFeature]:
    """The features of a stored image, with the name of its file where `named`."""
    return _IMAGE_FEATURES | _FILE_FEATURE if named else _IMAGE_FEATURES


def load_names(folder: Path | str, info: ImagesInfo, split: str) -> list[str]:
    """Load the names of the files that the images of a split came from; an empty list where they have none."""
    if not info.named:
        return []
    records = tf.data.TFRecordDataset(tfrecord_paths(folder, split, info.records[split]))
    parsed = records.batch(_READ_BATCH).map(no_autograph(lambda batch: tf.io.parse_example(batch, _FILE_FEATURE)))
    return [name.decode() for batch in parsed.as_numpy_iterator() for name in batch["file"]]


def _at_most(count: int, shape: Sequence[int]) -> int:
    return max(1, min(count, _DECODE_BYTES // int(np.prod(shape))))


def row_features(stored: int, many: bool = False) -> dict[str, tf.io.FixedLenFeature]:
    """The features of a stored row with this number of values. Of `many` series, a row has the number of its own."""
    features = {"time": tf.io.FixedLenFeature([], tf.int64), "values": tf.io.FixedLenFeature([stored], tf.float32)}
    return features | {"series": tf.io.FixedLenFeature([], tf.int64)} if many else features


def read_rows(
    folder: Path | str, split: str, stored: int, count: int | None = None, many: bool = False
) -> tf.data.Dataset:
    """Batches of (time int64 [batch], values float32 [batch, stored]) in time order.

    Of `many` series, batches also have the number of each row's series, int64 [batch], and are in the order of these.

    Raises:
        InputError: A shard lacks records, or their number isn't `count`.
    """
    features = row_features(stored, many)

    @no_autograph
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parsed = tf.io.parse_example(records, features)
        return tuple(parsed[name] for name in features)

    records = tf.data.TFRecordDataset(tfrecord_paths(folder, split, count))
    return without_autotune(records.batch(8 * _READ_BATCH).map(parse, num_parallel_calls=PARALLEL))


def load_rows(folder: Path | str, info: SeriesInfo, split: str) -> np.ndarray:
    """Load all rows of a split, float32 [rows, stored]. Windows overlap, so they are cut of these rows later."""
    count = info.records[split]
    batches = read_rows(folder, split, len(info.stored), count).as_numpy_iterator()
    rows = np.concatenate([values for _, values in batches])
    check_count(folder, split, len(rows), count)
    return rows


def load_times(folder: Path | str, info: SeriesInfo, split: str) -> np.ndarray:
    """Load the times of all rows of a split, int64 [rows], in seconds since 1970."""
    batches = read_rows(folder, split, len(info.stored), info.records[split]).as_numpy_iterator()
    return np.concatenate([times for times, _ in batches])


def load_images(folder: Path | str, info: ImagesInfo, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load all images of a split, uint8 [images, height, width, channels], and their labels, int64 [images]."""
    count, loaded = info.examples(split), 0
    # A list of batches that is concatenated would be in memory twice.
    images, labels = np.empty((count, *info.shape), np.uint8), np.empty(count, np.int64)
    for image_batch, label_batch in read_images(folder, split, info.shape, count).as_numpy_iterator():
        batch = slice(loaded, loaded + len(label_batch))
        images[batch], labels[batch], loaded = image_batch, label_batch, batch.stop
    check_count(folder, split, loaded, count)
    return images, labels


def check_count(folder: Path | str, split: str, count: int, expected: int) -> None:
    """Compare the number of records that were read with the expected number.

    Raises:
        InputError: The numbers differ.
    """
    if count != expected:
        raise InputError(f"{folder}: {count:,} records of {split} were read, expected {expected:,}")
