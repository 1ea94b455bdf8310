"""Predictions of images: what is read, what fails, and how an interrupted prediction goes on."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from PIL import Image
from predicted import idx, lines, reasons

from components.common.errors import InputError
from components.predict.component import predict as predict_component
from components.predict.predict import predict

ROOT = Path(__file__).parent.parent.parent


def assert_predicted(rows, expected, info):
    assert len(rows) == len(expected)
    for row, probabilities in zip(rows, expected, strict=True):
        assert row["class"] == info.classes[probabilities.argmax()]
        assert row["probability"] == row["probabilities"][row["class"]]
        assert list(row["probabilities"]) == info.classes
        np.testing.assert_allclose(list(row["probabilities"].values()), probabilities, atol=1e-5)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz", "images.idx3-ubyte", "images.idx"])
def test_an_idx_file_is_predicted_as_the_model_does(fashion, tmp_path, name):
    data = idx(fashion.images)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    done = predict(str(fashion.model), str(tmp_path / name), str(tmp_path / "out" / "p.jsonl"))
    assert (done.predicted, done.failed) == (200, 0)
    rows = lines(tmp_path / "out" / "p.jsonl")
    assert [row["id"] for row in rows] == [f"{name}:{i}" for i in range(200)]
    assert_predicted(rows, fashion.expected, fashion.info)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["p.jsonl"], "nothing else is left"


def test_the_records_of_ingest_are_predicted(fashion, tmp_path):
    (shard,) = fashion.dataset.glob("*-test.tfrecord-*")
    predict(str(fashion.model), str(shard), str(tmp_path / "p.jsonl"))
    assert_predicted(lines(tmp_path / "p.jsonl"), fashion.expected, fashion.info)


def test_a_folder_is_read_in_order_and_bad_pictures_go_to_the_error_file(fashion, tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(fashion.images[i]).save(folder / ("b" if i > 3 else ".") / f"{i}.png")
    whole = (folder / "1.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    Image.fromarray(np.zeros((30, 28), np.uint8)).save(folder / "b" / "large.png")
    (folder / "b" / "notes.txt").write_text("not to be read")
    (folder / ".hidden.png").write_bytes(whole)
    (folder / "short-idx3-ubyte").write_bytes(idx(fashion.images[6:9])[:-1])
    done = predict(str(fashion.model), str(folder), str(tmp_path / "p.jsonl"))
    assert (done.predicted, done.failed) == (8, 5)
    assert "passed over 1 other file, expected pictures (.png" in capsys.readouterr().out
    rows = lines(tmp_path / "p.jsonl")
    assert [row["id"] for row in rows] == [
        "0.png", "1.png", "2.png", "3.png", "short-idx3-ubyte:0", "short-idx3-ubyte:1", "b/4.png", "b/5.png",
    ]  # fmt: skip
    assert_predicted(rows, fashion.expected[[0, 1, 2, 3, 6, 7, 4, 5]], fashion.info)
    assert list(found := reasons(tmp_path / "p.jsonl")) == [
        "cut.png", "empty.png", "short-idx3-ubyte:2", "text.jpg", "b/large.png",
    ]  # fmt: skip
    assert found["b/large.png"] == "30 x 28 pixels, expected 28 x 28"
    assert found["text.jpg"] == "unreadable image: not a PNG, JPEG, BMP, GIF, WEBP or TIFF"
    assert found["short-idx3-ubyte:2"] == "the file ends in it, expected 3 images"


def test_pictures_are_resized_where_those_of_the_training_were(exports, tmp_path):
    import keras

    found = exports["pictures"]
    folder = Path(found.options["path"]) / "red"
    predict(str(found.model), str(folder), str(tmp_path / "p.jsonl"))
    rows = lines(tmp_path / "p.jsonl")
    assert len(rows) == 12
    pixels = []
    for row in rows:
        with Image.open(folder / row["id"]) as picture:
            pixels.append(np.asarray(picture.resize((6, 8))))
    model = keras.saving.load_model(found.model / "model.keras", compile=False)
    assert_predicted(rows, model.predict(np.stack(pixels), verbose=0), found.info)


def test_colour_images_of_an_idx_file(exports, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)
    (tmp_path / "images-idx4-ubyte").write_bytes(idx(images))
    predict(str(exports["pictures"].model), str(tmp_path / "images-idx4-ubyte"), str(tmp_path / "p.jsonl"))
    for i, image in enumerate(images):
        (tmp_path / "one").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "one" / f"{i}.png")
    predict(str(exports["pictures"].model), str(tmp_path / "one"), str(tmp_path / "q.jsonl"))
    assert [r["probabilities"] for r in lines(tmp_path / "p.jsonl")] == [
        r["probabilities"] for r in lines(tmp_path / "q.jsonl")
    ]


@pytest.mark.parametrize("spoil", ["cut", "flipped"])
def test_a_damaged_gzip_file_is_predicted_up_to_the_damage(fashion, tmp_path, spoil):
    file = tmp_path / "images-idx3-ubyte.gz"
    data = bytearray(gzip.compress(idx(fashion.images)))
    middle = len(data) // 2
    if spoil == "cut":
        del data[middle:]
    else:
        data[-8] ^= 1  # of the checksum
    file.write_bytes(bytes(data))
    done = predict(str(fashion.model), str(file), str(tmp_path / "p.jsonl"))
    assert done.failed == 1
    ((where, reason),) = reasons(tmp_path / "p.jsonl").items()
    assert "can't be read from here on" in reason
    if spoil == "cut":
        assert 50 < done.predicted < 150
        assert where == f"{file.name}:{done.predicted}"
    assert_predicted(lines(tmp_path / "p.jsonl"), fashion.expected[: done.predicted], fashion.info)


def test_an_idx_file_that_goes_on_after_its_images_is_reported(fashion, tmp_path):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(fashion.images[:5]) + b"x")
    done = predict(str(fashion.model), str(tmp_path / "images-idx3-ubyte"), str(tmp_path / "p.jsonl"))
    assert done.predicted == 5
    assert reasons(tmp_path / "p.jsonl") == {"images-idx3-ubyte": "the file goes on after its 5 images"}


def test_a_damaged_record_file_is_predicted_up_to_the_damage(fashion, tmp_path):
    (shard,) = fashion.dataset.glob("*-test.tfrecord-*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.tfrecord").write_bytes(bytes(data))
    done = predict(str(fashion.model), str(tmp_path / "x.tfrecord"), str(tmp_path / "p.jsonl"))
    assert 0 < done.predicted < 200
    assert_predicted(lines(tmp_path / "p.jsonl"), fashion.expected[: done.predicted], fashion.info)
    assert list(reasons(tmp_path / "p.jsonl")) == [f"x.tfrecord:{done.predicted}"]


def test_records_that_are_no_images_fail_one_by_one(fashion, tmp_path):
    import tensorflow as tf

    (shard,) = fashion.dataset.glob("*-test.tfrecord-*")
    good = next(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as writer:
        for record in (b"\xff\xff", tf.train.Example().SerializeToString(), good):
            writer.write(record)
    predict(str(fashion.model), str(tmp_path / "x.tfrecord"), str(tmp_path / "p.jsonl"))
    assert [row["id"] for row in lines(tmp_path / "p.jsonl")] == ["x.tfrecord:2"]
    found = reasons(tmp_path / "p.jsonl")
    assert "not a tf.train.Example" in found["x.tfrecord:0"]
    assert "0 values of the feature 'image'" in found["x.tfrecord:1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images-idx3-ubyte", idx(np.zeros((3, 14, 14), np.uint8)), "14 x 14 values an example, expected 28 x 28"),
        ("images-idx3-ubyte", idx(np.zeros(9, np.uint8)), "single values an example, expected 28 x 28"),
        ("images-idx3-ubyte", b"\x00\x00\x0d\x03" + bytes(40), "not an idx file of unsigned bytes"),
        ("images-idx3-ubyte", b"\x00\x00\x08", "not an idx file of unsigned bytes"),
        ("images-idx3-ubyte.gz", b"not gzip", "can't be read from here on: Not a gzipped file"),
        ("images-idx3-ubyte", idx(np.zeros((0, 28, 28), np.uint8)), "no examples in it"),
        ("labels-idx1-ubyte", idx(np.zeros(9, np.uint8)), "not a file that this model can read, expected pictures"),
        ("series.csv", b"time,load\n", "not a file that this model can read, expected pictures"),
        ("x.png", b"text", "nothing can be predicted: x.png: unreadable image: not a PNG, JPEG"),
        ("x.tfrecord", b"no records in here", "x.tfrecord:0: the file can't be read from here on"),
    ],
)  # fmt: skip
def test_what_can_not_be_predicted_at_all_is_refused(fashion, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        predict(str(fashion.model), str(tmp_path / name), str(tmp_path / "out" / "p.jsonl"))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("out/*")) and not list(tmp_path.glob("out/.*"))


def test_an_empty_folder_a_missing_file_and_a_wrong_output_are_refused(fashion, tmp_path):
    model, empty = str(fashion.model), tmp_path / "empty"
    empty.mkdir()
    for source, output, message in (
        (empty, "p.jsonl", "nothing to read, expected pictures"),
        (tmp_path / "none.png", "p.jsonl", "no such file or folder"),
        (fashion.dataset, "p.json", "expected a file whose name ends with .jsonl"),
        (fashion.dataset, "empty/p.jsonl/x.jsonl", "is not a folder"),
    ):
        (empty / "p.jsonl").unlink(missing_ok=True)
        if "/" in output:
            (empty / "p.jsonl").write_text("a file")
        with pytest.raises(InputError, match=message):
            predict(model, str(source), str(tmp_path / output))
    with pytest.raises(InputError, match="the model is one of images"):
        predict(model, str(fashion.dataset), str(tmp_path / "p.jsonl"), every_window=True)


# Models


@pytest.mark.parametrize(
    ("file", "change", "what"),
    [
        ("saved_model/variables/variables.data-00000-of-00001", "flip", "changed"),
        ("saved_model/saved_model.pb", "flip", "changed"),
        ("dataset.json", "flip", "changed"),
        ("model.keras", "remove", "removed"),
        ("saved_model/assets/more", "add", "added"),
    ],
)
def test_a_model_that_was_changed_after_it_was_registered_is_refused(registry, fashion, tmp_path, file, change, what):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(fashion.images))
    given = [str(registry), str(tmp_path / "images-idx3-ubyte"), str(tmp_path / "p.jsonl")]
    assert predict(*given).predicted == 200
    path = registry / file
    if change == "flip":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    elif change == "remove":
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    with pytest.raises(InputError) as refused:
        predict(*given)
    assert f"{file}: {what} after the model was registered" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_registration_without_digests_and_a_folder_without_a_model_are_refused(registry, fashion, tmp_path):
    for text in ("{}", "no JSON", "[]"):
        (registry / "registration.json").write_text(text)
        with pytest.raises(InputError, match="no digests of the model's files"):
            predict(str(registry), str(fashion.dataset), str(tmp_path / "p.jsonl"))
    with pytest.raises(InputError, match="no saved_model/ in it"):
        predict(str(tmp_path), str(fashion.dataset), str(tmp_path / "p.jsonl"))
    with pytest.raises(InputError, match="none: No such file or directory, expected a folder such as runs/registry"):
        predict(str(tmp_path / "none"), str(fashion.dataset), str(tmp_path / "p.jsonl"))


def test_an_unregistered_model_that_can_not_be_loaded_is_refused(fashion, tmp_path):
    shutil.copytree(fashion.model, tmp_path / "model")
    (tmp_path / "model" / "saved_model" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="saved_model: can't be loaded"):
        predict(str(tmp_path / "model"), str(fashion.dataset), str(tmp_path / "p.jsonl"))
    (tmp_path / "model" / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"dataset\.json: No such file"):
        predict(str(tmp_path / "model"), str(fashion.dataset), str(tmp_path / "p.jsonl"))


# In a pipeline


def test_the_component_says_how_many_it_predicted(fashion, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(fashion.images[0]).save(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "bad.png").write_text("bad")
    predictions = dsl.Artifact(uri=str(tmp_path / "out"))
    predict_component.python_func(str(tmp_path / "in"), "x", dsl.Model(uri=str(fashion.model)), predictions)
    assert predictions.metadata == {"predicted": 1, "failed": 1}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["predictions.errors.jsonl", "predictions.jsonl"]


PIPELINE = """\
import sys
from kfp import compiler, components, dsl, local
from components.predict.component import predict
model, source, root = sys.argv[1:]

@dsl.pipeline(name="batch")
def batch(model: str, source: str):
    imported = dsl.importer(artifact_uri=model, artifact_class=dsl.Model)
    predict(source=source, code_version="x", model=imported.output)

compiler.Compiler().compile(batch, root + "/batch.yaml")
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root + "/outputs")
components.load_component_from_file(root + "/batch.yaml")(model=model, source=source)
"""


def test_a_compiled_pipeline_predicts(fashion, tmp_path):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(fashion.images))
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(fashion.model), str(tmp_path / "images-idx3-ubyte"), str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (output,) = (tmp_path / "outputs").rglob("predictions.jsonl")
    assert_predicted(lines(output), fashion.expected, fashion.info)
