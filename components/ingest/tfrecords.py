"""Write records as files that TFDS opens.

TFDS' own writer takes seven times as long for a record. So TFDS only adds its metadata to the files that this module
writes (tensorflow.org/datasets/external_tfrecord).
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

# The uncompressed bytes of a shard. It gives enough shards to shuffle and to divide among workers, and not too many
# files.
SHARD_BYTES = 8 << 20
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


def image_record(image: bytes, label: int, name: str | None = None) -> bytes:
    """Serialize a stored image as a `tf.train.Example` with `components.data.storage.record_features`."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(image)
    feature["label"].int64_list.value.append(label)
    if name is not None:
        feature["file"].bytes_list.value.append(name.encode())
    return example.SerializeToString(deterministic=True)


def row_record(time: int, values: Iterable[float]) -> bytes:
    """Serialize a stored row as a `tf.train.Example` with `components.data.storage.row_features`."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["time"].int64_list.value.append(time)
    feature["values"].float_list.value.extend(values)
    return example.SerializeToString(deterministic=True)


def write_split(folder: Path, name: str, split: str, records: Iterable[bytes], size: int) -> tfds.core.SplitInfo:
    """Write a split's shards. A split without records has an empty shard.

    Args:
        folder: The data set's folder.
        name: The data set's name.
        split: The split's name.
        records: The serialized examples.
        size: The uncompressed size of an example in bytes.
    """
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        template=_TEMPLATE,
        dataset_name=name.replace("-", "_"),  # a hyphen separates the parts of a file's name
        split=split,
        filetype_suffix="tfrecord",
    )
    lengths: list[int] = []
    written = 0
    records = iter(records)
    while (shard := list(islice(records, max(1, SHARD_BYTES // size)))) or not lengths:
        path = template.sharded_filepath(shard_index=len(lengths), num_shards=None)
        with tf.io.TFRecordWriter(str(path)) as file:
            for record in shard:
                file.write(record)
                written += len(record)
        lengths.append(len(shard))
    return tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=written, filename_template=template)


def write_metadata(
    folder: Path, features: tfds.features.FeaturesDict, splits: list[tfds.core.SplitInfo], description: str
) -> None:
    """Write `dataset_info.json` and `features.json`.

    Args:
        folder: The data set's folder, with all its shards.
        features: The features of a record.
        splits: The results of `write_split`.
        description: A sentence on the data set.
    """
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=splits,
        version="1.0.0",
        filename_template=_TEMPLATE,
        check_data=False,  # the caller reads and checks them
        description=description,
        supervised_keys=("image", "label") if "image" in features else None,
        disable_shuffling=True,
    )
