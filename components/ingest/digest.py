"""What identifies a data set: the values of its records."""

import hashlib
from pathlib import Path

import tensorflow as tf

from components.artifacts.dataset import SPLITS
from components.common.no_autograph import no_autograph
from components.data.shards import shards

_BATCH = 512


def digest(folder: Path, features: dict[str, tf.io.FixedLenFeature]) -> str:
    """SHA-256 over the values of all records in their order, and over what they mean.

    Not over the files' bytes: a record's features are a protobuf map, which is written in an order that differs from
    one build of Python to another (protobuf.dev/programming-guides/serialization-not-canonical).

    Args:
        folder: The data set folder.
        features: Of a record.
    """

    @no_autograph
    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return tf.io.parse_example(serialized, features)

    found = hashlib.sha256((folder / "features.json").read_bytes())
    for split in SPLITS:
        found.update(f"{split}\0".encode())
        records = tf.data.TFRecordDataset([str(path) for path in shards(folder, split)]).batch(_BATCH)
        for batch in records.map(parse).as_numpy_iterator():
            for name in sorted(batch):
                values = batch[name]
                # Numbers are all of one size, pictures aren't.
                for data in [values.tobytes()] if values.dtype != object else values.tolist():
                    found.update(len(data).to_bytes(8, "little"))
                    found.update(data)
    return found.hexdigest()
