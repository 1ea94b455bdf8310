"""The input pipeline of all steps: batches of raw examples from a data set's folder, with tf.data.

Records are batched before they are parsed. Examples that fit into memory are kept there, decoded, and a batch is a
gather. Other examples are streamed from the shards. In both cases the order of an epoch is a pure function of seed and
epoch, so that training can resume at any step without a replay of the steps before.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, ImagesInfo, SeriesInfo
from components.artifacts.series_table import load_table
from components.common.no_autograph import no_autograph
from components.data.replicas import WHOLE, BatchShare, examples_used, static_shapes, steps_per_epoch, worker_slice
from components.data.storage import PARALLEL, check_count, decode_images, read_images, read_rows, without_autotune
from components.data.streamed import PREFETCH, streamed
from components.data.tfrecord_files import tfrecord_paths

# A split whose decoded images have more bytes than this is streamed from disk.
CACHE_BYTES = 256 << 20


def sequential_batches(
    folder: Path | str,
    info: DatasetInfo,
    split: str,
    batch_size: int,
    share: BatchShare = WHOLE,
    cache: bool = False,
    loss_power: int = 0,
) -> tf.data.Dataset:
    """The batches of one pass over a split, in the order of the stored examples.

    Args:
        folder: The data set's folder.
        info: The description of the data set.
        split: "train", "validation" or "test".
        batch_size: The number of examples in a batch, over all workers. The last batch may be smaller.
        share: The part of each batch that this process computes.
        cache: Whether decoded images are kept in memory where they fit, for a pass that is repeated.
        loss_power: The power of its series' scale by which an example's loss is divided, for many series; 0 gives
            batches without weights.

    Returns:
        Batches of (inputs, target), or of (inputs, target, weight float32 [batch]). Classification: image uint8 [batch,
        height, width, channels] and label int64 [batch]. Forecasting: {"window": float32 [batch, lookback, columns],
        "future": float32 [batch, horizon, known]} and float32 [batch, horizon], all in raw units; "future" only where
        columns are known.

    Raises:
        InputError: A shard lacks records.
    """
    count = steps_per_epoch(info, split, batch_size, share)
    used = examples_used(info, split, batch_size, share)
    if isinstance(info, ImagesInfo) and not (cache and _fits_in_memory(info, split)):
        paths = tfrecord_paths(folder, split, info.records[split])
        records = tf.data.TFRecordDataset(paths).take(used).batch(batch_size)
        own = records.map(no_autograph(lambda batch: batch[worker_slice(tf.size(batch), share)]))
        images = decode_images(own, info.shape, batch_size // share.workers)
        images = static_shapes(images.apply(tf.data.experimental.assert_cardinality(count)), batch_size, share)
        return without_autotune(images.prefetch(PREFETCH))
    steps, examples_at = tf.data.Dataset.range(count), _load_examples(folder, info, split, loss_power)

    @no_autograph
    def batch(step: tf.Tensor) -> object:
        return examples_at(_positions(step, batch_size, used, share))

    batches = static_shapes(steps.map(batch, num_parallel_calls=PARALLEL), batch_size, share)
    return without_autotune(batches.prefetch(PREFETCH))


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
    share: BatchShare = WHOLE,
    loss_power: int = 0,
) -> tf.data.Dataset:
    """The batches of several epochs over a split, each epoch in another random order.

    Args:
        folder: The data set's folder.
        info: The description of the data set.
        split: The split's name, usually "train".
        batch_size: The number of examples in a batch, over all workers. The last batch of an epoch may be smaller.
        seed: The seed. Order and flips depend only on it, the epoch and the step.
        epochs: The number of epochs.
        first_step: The first step to return, counted over all epochs.
        flip: Whether each image is mirrored left to right in every second epoch.
        share: The part of each batch that this process computes. The parts of all workers are together the batches of a
            single process, but where the split is streamed: there each worker reads its own shards.
        loss_power: As in `sequential_batches`.

    Returns:
        Batches as in `sequential_batches`, of one epoch after the other.

    Raises:
        InputError: A shard lacks records.
    """
    per_epoch = steps_per_epoch(info, split, batch_size, share)
    examples, used = info.examples(split), examples_used(info, split, batch_size, share)
    if isinstance(info, ImagesInfo) and not _fits_in_memory(info, split):
        batches = streamed(folder, info, split, batch_size, seed, epochs, first_step, share)
        batches = _flipped(batches, seed, first_step, per_epoch) if flip else batches
        return without_autotune(static_shapes(batches, batch_size, share))
    steps = tf.data.Dataset.range(first_step, epochs * per_epoch)
    examples_at = _load_examples(folder, info, split, loss_power)

    @no_autograph
    def batch(step: tf.Tensor) -> object:
        positions = _positions(step % per_epoch, batch_size, used, share)
        order_seed = tf.stack([tf.constant(seed, tf.int64), step // per_epoch])
        positions = tf.random.experimental.index_shuffle(positions, order_seed, max_index=examples - 1)
        return examples_at(positions)

    batches = steps.map(batch, num_parallel_calls=PARALLEL)
    batches = _flipped(batches, seed, first_step, per_epoch) if flip else batches
    return without_autotune(static_shapes(batches, batch_size, share).prefetch(PREFETCH))


def _fits_in_memory(info: ImagesInfo, split: str) -> bool:
    """Whether the decoded images of a split fit into memory."""
    return info.examples(split) * int(np.prod(info.shape)) <= CACHE_BYTES


def _load_variables(folder: Path | str, info: DatasetInfo, split: str) -> list[tf.Variable]:
    """Load a split into memory: its images and labels, or its rows.

    The result is variables, which are filled in place. tf.data would copy a tensor that its functions use, and a tensor
    that is concatenated or comes from NumPy would be in memory three times for a while.
    """
    count, loaded = info.records[split], 0
    if isinstance(info, SeriesInfo):
        rows = read_rows(folder, split, len(info.stored), count)
        stored = rows.map(no_autograph(lambda time, values: (values,)))
    else:
        stored = read_images(folder, split, info.shape, count)
    with tf.device("CPU"):
        specs = stored.element_spec
        variables = [tf.Variable(tf.zeros([count, *s.shape[1:]], s.dtype), trainable=False) for s in specs]
        for batch in stored:
            positions = tf.range(loaded, loaded + len(batch[0]))
            for variable, values in zip(variables, batch, strict=True):
                variable.scatter_update(tf.IndexedSlices(values, positions))
            loaded += len(batch[0])
    check_count(folder, split, loaded, count)
    return variables


def _load_examples(
    folder: Path | str, info: DatasetInfo, split: str, loss_power: int
) -> Callable[[tf.Tensor], tuple[object, ...]]:
    """Load a split into memory, for a function that gives the examples at some positions."""
    variables = _load_variables(folder, info, split)
    if isinstance(info, ImagesInfo):
        return lambda positions: tuple(tf.gather(values, positions) for values in variables)
    (rows,) = variables
    if not info.series:
        return lambda positions: _windows(rows, positions, info)
    # Rows and windows stand one series after the other.
    table = load_table(folder, info)
    with tf.device("CPU"):
        ends, skipped = tf.constant(np.cumsum(table.windows(info, split))), tf.constant(table.skipped(info, split))
        weights = tf.constant(table.loss_scale**-loss_power, tf.float32) if loss_power else None

    def examples_at(positions: tf.Tensor) -> tuple[object, ...]:
        series = tf.searchsorted(ends, positions, side="right")
        found = _windows(rows, positions + tf.gather(skipped, series), info)
        return found if weights is None else (*found, tf.gather(weights, series))

    return examples_at


def _positions(step: tf.Tensor, batch_size: int, used: int, share: BatchShare) -> tf.Tensor:
    """The positions of this worker's examples in the batch of a step."""
    first = step * batch_size
    end = tf.minimum(first + batch_size, used)
    return tf.range(first, end)[worker_slice(end - first, share)]


def _windows(rows: tf.Variable, first: tf.Tensor, info: SeriesInfo) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Cut the windows that start at the rows `first`."""
    offsets = tf.range(info.lookback + info.horizon, dtype=first.dtype)
    values = tf.gather(rows, first[:, None] + offsets)
    values = tf.ensure_shape(values, [None, info.lookback + info.horizon, len(info.stored)])
    inputs = {"window": values[:, : info.lookback, : len(info.columns)]}
    if info.known:
        inputs["future"] = tf.gather(values[:, info.lookback :], info.known_places(), axis=2)
    return inputs, values[:, info.lookback :, 0]


def _flipped(batches: tf.data.Dataset, seed: int, first_step: int, per_epoch: int) -> tf.data.Dataset:
    """Mirror each image in every second epoch, half of them in the first one (Jordan 2024, arXiv:2404.00498).

    Two epochs in a row show both sides of every image. An image is known by the sum of its pixels, which mirroring
    keeps: examples that are streamed have no other number.
    """

    @no_autograph
    def flip(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        sums = tf.reduce_sum(tf.cast(images, tf.int64), axis=[1, 2, 3])
        first = tf.strings.to_hash_bucket_fast(tf.strings.as_string(sums + seed), 2)
        mirrored = (first + step // per_epoch) % 2 == 1
        return tf.where(mirrored[:, None, None, None], tf.reverse(images, [2]), images), labels

    return batches.enumerate(start=first_step).map(flip, num_parallel_calls=PARALLEL)
