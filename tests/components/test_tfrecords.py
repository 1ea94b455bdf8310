import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from components.ingest import tfrecords

IMAGES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(2, 2, 1), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
)
ROWS = tfds.features.FeaturesDict(
    {"time": tfds.features.Scalar(dtype=np.int64), "values": tfds.features.Tensor(shape=(3,), dtype=np.float32)}
)


def test_a_record_says_what_tfds_would_write():
    values = [0.1, -1e30, 3]
    pairs = [
        (tfrecords.image_record(b"\x89PNG", 1), IMAGES.serialize_example({"image": b"\x89PNG", "label": 1})),
        (tfrecords.row_record(-5, values), ROWS.serialize_example({"time": -5, "values": values})),
    ]
    for ours, theirs in pairs:
        assert tf.train.Example.FromString(ours) == tf.train.Example.FromString(theirs)


@pytest.mark.parametrize(("rows", "lengths"), [(0, [0]), (1, [1]), (4, [4]), (5, [4, 1]), (8, [4, 4])])
def test_a_split_is_cut_into_shards_that_tfds_reads_in_order(tmp_path, monkeypatch, rows, lengths):
    monkeypatch.setattr(tfrecords, "SHARD_BYTES", 4 * 10 + 9)
    records = [tfrecords.row_record(i, [i, 2 * i, 0.5]) for i in range(rows)]
    split = tfrecords.write_split(tmp_path, "some-rows", "train", iter(records), 10)
    other = tfrecords.write_split(tmp_path, "some-rows", "test", records[:1], 10)
    assert split.shard_lengths == lengths
    tfrecords.write_metadata(tmp_path, ROWS, [split, other], "Some rows.")
    builder = tfds.builder_from_directory(tmp_path)
    assert (builder.info.name, str(builder.info.version)) == ("some_rows", "1.0.0")
    assert builder.info.splits["train"].num_examples == rows
    assert builder.info.splits["train"].num_bytes == sum(map(len, records))
    if rows:
        read = tfds.as_numpy(builder.as_dataset(split="train"))
        assert [int(row["time"]) for row in read] == list(range(rows))
