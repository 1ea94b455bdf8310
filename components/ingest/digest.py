"""The digest of a data set, from the values of its records."""

import hashlib
from pathlib import Path

import tensorflow as tf

from components.artifacts.dataset import SPLITS
from components.common.no_autograph import no_autograph
from components.data.tfrecord_files import tfrecord_paths

_BATCH = 512


def digest(folder: Path, features: dict[str, tf.io.FixedLenFeature], further: bytes = b"") -> str:
    """Compute the SHA-256 of the values of all records in their order, and of their description by TFDS.

    The files' bytes would not do. A record's features are a protobuf map, which is written in an order that differs
    from one build of Python to another (protobuf.dev/programming-guides/serialization-not-canonical).

    Args:
        folder: The data set's folder.
        features: The features of a record.
        further: Further content, beside the records.
    """
    result = hashlib.sha256((folder / "features.json").read_bytes())
    for split in SPLITS:
        result.update(f"{split}\0".encode())
        records = tf.data.TFRecordDataset(tfrecord_paths(folder, split)).batch(_BATCH)
        parsed = records.map(no_autograph(lambda batch: tf.io.parse_example(batch, features)))
        for batch in parsed.as_numpy_iterator():
            for name in sorted(batch):
                values = batch[name]
                # All numbers have the same size; encoded pictures don't.
                for data in [values.tobytes()] if values.dtype != object else values.tolist():
                    result.update(len(data).to_bytes(8, "little"))
                    result.update(data)
    result.update(further)
    return result.hexdigest()
