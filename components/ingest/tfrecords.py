"""Write records as files that TFDS opens.

TFDS' own writer takes seven times as long for a record. So TFDS only adds its metadata to the files that this module
writes (tensorflow.org/datasets/external_tfrecord).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from components.artifacts.series_table import FILE as SERIES_TABLE

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


def row_record(time: int, values: Iterable[float], series: int | None = None) -> bytes:
    """Serialize a stored row as a `tf.train.Example` with `components.data.storage.row_features`.

    Args:
        time: The seconds since 1970.
        values: The values.
        series: The number of the row's series; None where there is one series.
    """
    example = tf.train.Example()
    feature = example.features.feature
    feature["time"].int64_list.value.append(time)
    feature["values"].float_list.value.extend(values)
    if series is not None:
        feature["series"].int64_list.value.append(series)
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
    writer = SplitWriter(folder, name, split, size)
    for record in records:
        writer.add(record)
    return writer.finish()


class SplitWriter:
    """Writes a split's shards. The arguments are those of `write_split`."""

    def __init__(self, folder: Path, name: str, split: str, size: int) -> None:
        self._per_shard = max(1, SHARD_BYTES // size)
        self._split = split
        self._template = tfds.core.ShardedFileTemplate(
            data_dir=folder,
            template=_TEMPLATE,
            dataset_name=name.replace("-", "_"),  # a hyphen separates the parts of a file's name
            split=split,
            filetype_suffix="tfrecord",
        )
        self._waiting: list[bytes] = []
        self._lengths: list[int] = []
        self._written = 0

    def add(self, record: bytes) -> None:
        """Add a record, which is written when its shard is whole."""
        self._waiting.append(record)
        if len(self._waiting) == self._per_shard:
            self._write()

    def finish(self) -> tfds.core.SplitInfo:
        """Write the last shard."""
        if self._waiting or not self._lengths:
            self._write()
        return tfds.core.SplitInfo(
            name=self._split, shard_lengths=self._lengths, num_bytes=self._written, filename_template=self._template
        )

    def _write(self) -> None:
        path = self._template.sharded_filepath(shard_index=len(self._lengths), num_shards=None)
        with tf.io.TFRecordWriter(str(path)) as file:
            for record in self._waiting:
                file.write(record)
        self._written += sum(map(len, self._waiting))
        self._lengths.append(len(self._waiting))
        self._waiting = []


def row_types(columns: list[str], many: bool = False) -> tfds.features.FeaturesDict:
    """TFDS' types of the features of a stored row, see `components.data.storage.row_features`."""
    number = {"series": tfds.features.Scalar(dtype=np.int64, doc=f"The number of the series, see {SERIES_TABLE}.")}
    return tfds.features.FeaturesDict(
        {
            **(number if many else {}),
            "time": tfds.features.Scalar(dtype=np.int64, doc="Seconds since 1970-01-01 00:00."),
            "values": tfds.features.Tensor(shape=(len(columns),), dtype=np.float32, doc=", ".join(columns)),
        }
    )


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
