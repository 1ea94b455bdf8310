"""The parts of a batch that each worker makes."""

import json

import numpy as np
import pytest

from components.data.input_pipeline import sequential_batches, shuffled_batches
from components.data.replicas import BatchShare, steps_per_epoch


def batches_of(dataset):
    return [(images if isinstance(images, dict) else images.numpy(), labels.numpy()) for images, labels in dataset]


@pytest.mark.parametrize("name", ["fashion", "demand"])
def test_the_parts_of_all_workers_are_the_batches_of_one_process(divided, name):
    from components.artifacts.dataset import load_info

    info = load_info(divided[name])
    options = {"seed": 3, "epochs": 2, "first_step": 1, "flip": name == "fashion"}
    whole = batches_of(shuffled_batches(divided[name], info, "train", 64, **options, share=BatchShare(replicas=4)))
    parts = [
        batches_of(shuffled_batches(divided[name], info, "train", 64, **options, share=BatchShare(4, 4, worker)))
        for worker in range(4)
    ]
    assert len(whole) == 2 * steps_per_epoch(info, "train", 64, BatchShare(replicas=4)) - 1
    for i, (examples, targets) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[i][1] for part in parts]), targets)
        if name == "fashion":
            np.testing.assert_array_equal(np.concatenate([part[i][0] for part in parts]), examples)
        assert len(targets) % 4 == 0
    ordered = batches_of(sequential_batches(divided[name], info, "validation", 64, BatchShare(replicas=4)))
    parts = [
        batches_of(sequential_batches(divided[name], info, "validation", 64, BatchShare(4, 4, worker)))
        for worker in range(4)
    ]
    for i, (_, targets) in enumerate(ordered):
        np.testing.assert_array_equal(np.concatenate([part[i][1] for part in parts]), targets)


def test_what_is_left_out_of_the_last_batch(divided):
    from components.artifacts.dataset import load_info

    info = load_info(divided["fashion"])
    assert info.examples("train") == 1100
    for batch_size, share, sizes in [
        (64, BatchShare(), [64] * 17 + [12]),
        (64, BatchShare(replicas=8), [64] * 17 + [8]),
        (64, BatchShare(replicas=16), [64] * 17),
        (64, BatchShare(full_batches=True), [64] * 17),
        (550, BatchShare(full_batches=True), [550, 550]),
    ]:
        got = batches_of(shuffled_batches(divided["fashion"], info, "train", batch_size, seed=1, epochs=1, share=share))
        assert [len(labels) for _, labels in got] == sizes
        assert steps_per_epoch(info, "train", batch_size, share) == len(sizes)
        got = batches_of(sequential_batches(divided["fashion"], info, "train", batch_size, share))
        assert [len(labels) for _, labels in got] == sizes


def test_batches_are_cut_for_the_replicas_of_a_worker(divided):
    from components.artifacts.dataset import load_info
    from components.data.replicas import per_replica

    info = load_info(divided["demand"])
    batches = sequential_batches(divided["demand"], info, "validation", 60, BatchShare(replicas=4))
    cut = [labels for _, labels in batches_of(per_replica(batches, 4))]
    assert [len(labels) for labels in cut] == [15] * 16 + [4] * 4
    whole = [labels for _, labels in batches_of(batches)]
    np.testing.assert_array_equal(np.concatenate(cut), np.concatenate(whole))


@pytest.fixture
def sharded(divided, tmp_path, monkeypatch):
    """The images in four shards, too large for memory."""
    import shutil

    import tensorflow as tf

    from components.data import input_pipeline

    folder = tmp_path / "sharded"
    shutil.copytree(divided["fashion"], folder)
    (only,) = folder.glob("*-train.tfrecord-*")
    records = list(tf.data.TFRecordDataset(str(only)).as_numpy_iterator())
    only.unlink()
    ends = [0, 100, 400, 650, len(records)]
    for i in range(4):
        with tf.io.TFRecordWriter(str(only).removesuffix("00000") + f"{i:05d}") as writer:
            for record in records[ends[i] : ends[i + 1]]:
                writer.write(record)
    about = json.loads((folder / "dataset_info.json").read_text())
    about["splits"][0]["shardLengths"] = np.diff(ends).tolist()
    (folder / "dataset_info.json").write_text(json.dumps(about))
    monkeypatch.setattr(input_pipeline, "CACHE_BYTES", 1)
    return str(folder)


def test_streamed_shards_are_divided_among_the_workers(sharded):
    from components.artifacts.dataset import load_info

    info = load_info(sharded)
    share = BatchShare(replicas=2, workers=2)
    steps = steps_per_epoch(info, "train", 64, share)
    seen = []
    for worker in range(2):
        own = BatchShare(2, 2, worker)
        got = batches_of(shuffled_batches(sharded, info, "train", 64, seed=1, epochs=2, share=own))
        # As many batches in each epoch as the other worker has, though the shards differ in size.
        assert [len(labels) for _, labels in got] == 2 * ([32] * (steps - 1) + [6])
        seen.append({images.tobytes() for batch, _ in got for images in batch})
        later = batches_of(
            shuffled_batches(sharded, info, "train", 64, seed=1, epochs=2, first_step=steps + 3, share=own)
        )
        for (one, _), (other, _) in zip(got[steps + 3 :], later, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(seen[0] & seen[1]) < 5, "images that are in the data twice are few"


def test_fewer_shards_than_workers_are_divided_by_record(sharded):
    from components.artifacts.dataset import load_info

    info = load_info(sharded)
    seen = []
    for worker in range(5):
        got = batches_of(
            shuffled_batches(sharded, info, "train", 100, seed=1, epochs=1, share=BatchShare(5, 5, worker))
        )
        assert [len(labels) for _, labels in got] == [20] * 11
        seen += [images.tobytes() for batch, _ in got for images in batch]
    assert len(set(seen)) > 1090


@pytest.mark.parametrize("name", ["fashion", "demand"])
def test_full_batches_have_static_shapes_and_leave_few_out(divided, name):
    from components.artifacts.dataset import load_info
    from components.data.replicas import evaluation_batch_size

    info = load_info(divided[name])
    share = BatchShare(replicas=4, full_batches=True)
    size = evaluation_batch_size(info, "validation", 64, share)
    assert size % 4 == 0
    steps = steps_per_epoch(info, "validation", size, share)
    assert info.examples("validation") - steps * size < 4 * steps
    for batches in (
        sequential_batches(divided[name], info, "validation", size, share),
        shuffled_batches(
            divided[name], info, "validation", size, seed=1, epochs=1, flip=name == "fashion", share=share
        ),
    ):
        assert batches.element_spec[1].shape[0] == size
        assert len(list(batches)) == steps
    assert evaluation_batch_size(info, "validation", 512, BatchShare()) == 512
    assert evaluation_batch_size(info, "validation", 512, BatchShare(replicas=3)) == 510
