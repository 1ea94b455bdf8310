"""Write records as files that TFDS opens.

TFDS' own writer takes seven times as long for a record. To records that others wrote TFDS adds its metadata alone
(tensorflow.org/datasets/external_tfrecord), which is what is done here.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

# Uncompressed bytes of a shard: many enough for shuffling and for sharing among workers, few enough to open.
SHARD_BYTES = 8 << 20
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


def image_record(image: bytes, label: int, name: str | None = None) -> bytes:
    """A `tf.train.Example` of a stored image, see `components.data.storage.record_features`."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(image)
    feature["label"].int64_list.value.append(label)
    if name is not None:
        feature["file"].bytes_list.value.append(name.encode())
    return example.SerializeToString(deterministic=True)


def row_record(time: int, values: Iterable[float]) -> bytes:
    """A `tf.train.Example` of a stored row, see `components.data.storage.row_features`."""
    example = tf.train.Example()
    feature = example.features.feature
    feature["time"].int64_list.value.append(time)
    feature["values"].float_list.value.extend(values)
    return example.SerializeToString(deterministic=True)


def write_split(folder: Path, name: str, split: str, records: Iterable[bytes], size: int) -> tfds.core.SplitInfo:
    """Write a split's shards; one without a record has one that is empty.

    Args:
        folder: The data set folder.
        name: The data set's name.
        split: The split's name.
        records: Serialized examples.
        size: Uncompressed bytes of one.
    """
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        template=_TEMPLATE,
        dataset_name=name.replace("-", "_"),  # a hyphen parts a file's name
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
        folder: The data set folder, with all its shards.
        features: What a record holds.
        splits: What `write_split` gave.
        description: A sentence.
    """
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=splits,
        version="1.0.0",
        filename_template=_TEMPLATE,
        check_data=False,  # they are read and checked by us
        description=description,
        supervised_keys=("image", "label") if "image" in features else None,
        disable_shuffling=True,
    )
