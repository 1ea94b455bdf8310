"""Records that are lost are noticed, by every reader."""

import json
import shutil

import pytest
import tensorflow as tf
from tiny import fake_images, numbered, run

from components.common.errors import InputError
from components.data import input_pipeline, storage
from components.data.replicas import BatchShare
from components.ingest import tfrecords
from components.train.train import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory, series):
    """Images and a series, by name: the folder, in several shards, and its description."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tfrecords, "SHARD_BYTES", 8 * 4 * 6)
        spec = fake_images(
            monkeypatch, train=numbered(range(1, 51)), validation=numbered(range(51, 71)), test=numbered(range(71, 81))
        )
        info = run(root / "images", spec)
    return {"images": (root / "images", info), "series": series[:2]}


def cut(path, keep=None):
    """Cut a shard after `keep` records; without, in the middle of its last one."""
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    lengths = [len(record) + 16 for record in records]
    path.write_bytes(path.read_bytes()[: sum(lengths[:keep]) if keep is not None else sum(lengths) - 3])
    return len(records)


READERS = {
    "held, in order": lambda *given: input_pipeline.sequential_batches(*given, 5, cache=True),
    "held, shuffled": lambda *given: input_pipeline.shuffled_batches(*given, 5, seed=1, epochs=1),
    "in order": lambda *given: input_pipeline.sequential_batches(*given, 5),
    "streamed": lambda *given: input_pipeline.shuffled_batches(*given, 5, seed=1, epochs=1),
    "a worker's share": lambda *given: input_pipeline.shuffled_batches(
        *given, 6, seed=1, epochs=1, share=BatchShare(2, 2, 1)
    ),
    "all at once": lambda folder, info, split: (
        storage.load_images(folder, info, split)
        if info.task == "classification"
        else storage.load_rows(folder, info, split)
    ),
}


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["images", "series"])
def test_a_shard_that_was_cut_is_named_with_its_records(whole, kind, reader, split, tmp_path, monkeypatch):
    if reader in ("streamed", "a worker's share"):
        monkeypatch.setattr(input_pipeline, "CACHE_BYTES", 0)
    original, info = whole[kind]
    folder = shutil.copytree(original, tmp_path / "copy")
    list(READERS[reader](folder, info, split))
    shard = sorted(folder.glob(f"*-{split}.*"))[-1]
    before = cut(shard, keep=1)
    with pytest.raises(InputError) as refused:
        list(READERS[reader](folder, info, split))
    assert str(refused.value) == f"{shard}: 1 record, expected {before}: ingest the data set again"
    # The other splits are whole.
    list(READERS[reader](folder, info, "test"))


def test_every_shard_that_is_wrong_is_named(whole, tmp_path):
    original, info = whole["images"]
    folder = shutil.copytree(original, tmp_path / "copy")
    first, second, third, *_, last = sorted(folder.glob("*-train.*"))
    cut(first)
    second.unlink()
    third.write_bytes(third.read_bytes() + last.read_bytes())
    shutil.copy(last, str(last).replace("00006", "00007"))
    with pytest.raises(InputError) as refused:
        storage.load_images(folder, info, "train")
    assert [problem.removeprefix(f"{folder}").split(":")[:2] for problem in refused.value.problems] == [
        ["/tiny-train.tfrecord-00000", " 7 records, expected 8"],
        ["", " shard 00001 of train is missing, expected 8 records in it"],
        ["/tiny-train.tfrecord-00002", " 10 records, expected 8"],
        ["/tiny-train.tfrecord-00007", " expected 7 shards of train without this one"],
    ]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, bytes(40)])
def test_a_shard_that_is_none_is_named(whole, tmp_path, content):
    original, info = whole["images"]
    folder = shutil.copytree(original, tmp_path / "copy")
    shard = sorted(folder.glob("*-train.*"))[3]
    shard.write_bytes(content)
    with pytest.raises(InputError, match=f"{shard.name}: . records, expected 8"):
        storage.load_images(folder, info, "train")


@pytest.mark.parametrize("text", [None, "", "[]", '{"splits": [{"name": "train"}]}', '{"splits": []}'])
def test_a_description_that_does_not_name_the_shards_is_refused(whole, tmp_path, text):
    original, info = whole["images"]
    folder = shutil.copytree(original, tmp_path / "copy")
    (folder / "dataset_info.json").unlink()
    if text is not None:
        (folder / "dataset_info.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset_info\.json: "):
        storage.load_images(folder, info, "train")


@pytest.mark.parametrize("records", [49, 51])
@pytest.mark.parametrize("reader", READERS)
def test_a_description_of_others_is_refused(whole, reader, records, monkeypatch):
    folder, info = whole["images"]
    if reader in ("streamed", "a worker's share"):
        monkeypatch.setattr(input_pipeline, "CACHE_BYTES", 0)
    other = info.model_copy(update={"records": info.records | {"train": records}})
    with pytest.raises(InputError, match="50 records of train, expected"):
        list(READERS[reader](folder, other, "train"))


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("kind", ["images", "series"])
def test_no_model_is_trained_on_what_is_left(whole, kind, split, tmp_path):
    folder = shutil.copytree(whole[kind][0], tmp_path / "copy")
    sorted(folder.glob(f"*-{split}.*"))[0].unlink()
    spec = {"family": "mlp", "dataset": kind, "epochs": 1, "batch_size": 5}
    with pytest.raises(InputError, match=f"shard 00000 of {split} is missing"):
        train(kind, json.dumps(spec), 1, "x", str(folder), str(tmp_path / "model"), str(tmp_path / "checkpoints"))
    assert not (tmp_path / "model").exists()
