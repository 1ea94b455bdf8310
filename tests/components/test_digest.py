"""The digest of a data set is that of its values."""

import json

import tensorflow as tf

from components.artifacts.dataset import SPLITS
from components.data.storage import row_features
from components.ingest.digest import digest


def write(folder, records):
    """Write the records of each split, and what TFDS says of them."""
    about = []
    for split, own in records.items():
        with tf.io.TFRecordWriter(str(folder / f"rows-{split}.tfrecord-00000")) as writer:
            for record in own:
                writer.write(record)
        about.append({"name": split, "shardLengths": [len(own)], "numBytes": sum(map(len, own))})
    (folder / "dataset_info.json").write_text(json.dumps({"splits": about}))


def written(folder, parts, value=2.0):
    """A data set of one row in each split, whose features lie in the record in the order of `parts`."""
    folder.mkdir()
    (folder / "features.json").write_text("{}")
    features = {
        "time": tf.train.Feature(int64_list=tf.train.Int64List(value=[7])),
        "values": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, value])),
    }
    # Messages one after the other are one message.
    record = b"".join(
        tf.train.Example(features=tf.train.Features(feature={name: features[name]})).SerializeToString()
        for name in parts
    )
    write(folder, {split: [record] for split in SPLITS})
    return digest(folder, row_features(2)), record


def test_the_order_that_protobuf_writes_features_in_makes_no_difference(tmp_path):
    one, first = written(tmp_path / "one", ["time", "values"])
    two, second = written(tmp_path / "two", ["values", "time"])
    assert first != second
    assert one == two
    assert one != written(tmp_path / "three", ["time", "values"], 2.5)[0]


def test_a_row_that_moves_to_another_split_changes_it(tmp_path):
    before, record = written(tmp_path / "one", ["time", "values"])
    write(tmp_path / "one", {"train": [record, record], "validation": [record], "test": []})
    assert digest(tmp_path / "one", row_features(2)) != before
