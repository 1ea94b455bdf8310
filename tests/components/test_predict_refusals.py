"""What predict and drift refuse in a line: models that aren't the registry's, damaged ones, files that are none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predicted import idx, lines, reasons
from small_files import small_files

from components.common.errors import InputError
from components.common.files import point_link
from components.drift.drift import drift
from components.models import model_folder
from components.predict.predict import predict

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def photos(fashion, tmp_path):
    """A folder of ten pictures."""
    (tmp_path / "photos").mkdir()
    for i in range(10):
        Image.fromarray(fashion.images[i]).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def refusal(call):
    with pytest.raises(InputError) as refused:
        call()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def files_below(folder):
    return {path.name for path in folder.rglob("*")}


# Which model


def test_current_is_followed_once(registry, photos, tmp_path, monkeypatch):
    shelf = registry.parent
    shutil.copytree(shelf / "1", shelf / "2")
    info = json.loads((shelf / "2" / "dataset.json").read_text())
    (shelf / "2" / "dataset.json").write_text(json.dumps(info | {"classes": [c.upper() for c in info["classes"]]}))
    loaded, load = [], model_folder.import_tensorflow

    def switch():
        point_link(registry, "2")
        tensorflow = load()
        monkeypatch.setattr(tensorflow.saved_model, "load", lambda path: loaded.append(path) or load_model(path))
        return tensorflow

    load_model = load().saved_model.load
    monkeypatch.setattr(model_folder, "import_tensorflow", switch)
    predict(str(registry), str(photos), str(tmp_path / "p.jsonl"))
    assert registry.readlink().name == "2", "it was switched meanwhile"
    assert loaded == [str(shelf / "1" / "saved_model")]
    assert lines(tmp_path / "p.jsonl")[0]["class"] in info["classes"]


def test_what_the_registry_did_not_write_needs_trust(registry, fashion, photos, tmp_path):
    root = registry.parent.parent.parent
    given = [str(photos), str(tmp_path / "p.jsonl")]
    assert predict(str(registry), *given, registry=root).predicted == 10
    # A registry of somebody else, with a key of theirs.
    shutil.copytree(root, tmp_path / "theirs")
    other = tmp_path / "theirs" / "test" / "fashion" / "current"
    for model, message in (
        (fashion.model, "registration.json: missing; expected a model that was registered"),
        (other, "lies outside of the registry"),
    ):
        for call in (
            lambda model=model: predict(str(model), *given, registry=root),
            lambda model=model: drift(str(model), str(photos), 0.2, registry=root),
        ):
            refused = refusal(call)
            assert message in refused
            assert refused.endswith("(a SavedModel is a program; --trust loads it all the same)")
        assert predict(str(model), *given).predicted == 10


@pytest.mark.parametrize("spoil", ["removed", "a folder", "unsigned", "signed by another key", "no key"])
def test_a_registration_that_is_none_is_refused(registry, photos, tmp_path, spoil):
    root, path = registry.parent.parent.parent, registry / "registration.json"
    text = json.loads(path.read_text())
    path.unlink()
    if spoil == "a folder":
        path.mkdir()
    elif spoil == "unsigned":
        path.write_text(json.dumps(text | {"signature": ""}))
    elif spoil in ("signed by another key", "no key"):
        path.write_text(json.dumps(text))
        (root / ".key").write_bytes(b"x" * 32)
        if spoil == "no key":
            (root / ".key").unlink()
    message = refusal(lambda: predict(str(registry), str(photos), str(tmp_path / "p.jsonl"), registry=root))
    assert "--trust" in message


@pytest.mark.parametrize("name", ["none", "a\0b", "x" * 300, "loop", "file", "nowhere"])
@pytest.mark.parametrize("call", [predict, drift])
def test_a_folder_that_is_none_is_one_line(photos, tmp_path, name, call):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    more = str(tmp_path / "p.jsonl") if call is predict else 0.2
    assert "expected a folder such as runs/registry" in refusal(lambda: call(str(tmp_path / name), str(photos), more))


def cut(path, keep=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


VARIABLES = "saved_model/variables/variables"


@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
@pytest.mark.parametrize(
    "file", [f"{VARIABLES}.data-00000-of-00001", f"{VARIABLES}.index", "saved_model/saved_model.pb", "dataset.json"]
)
def test_a_model_whose_files_were_cut_is_one_line(fashion, photos, tmp_path, file, keep):
    model = shutil.copytree(fashion.model, tmp_path / "model")
    cut(model / file, keep)
    message = refusal(lambda: predict(str(model), str(photos), str(tmp_path / "p.jsonl")))
    assert message.startswith(f"{model}/{file.split('/')[0]}: ")


@pytest.mark.parametrize("file", [f"{VARIABLES}.data-00000-of-00001", "saved_model/saved_model.pb", "dataset.json"])
def test_a_folder_in_place_of_a_models_file_is_one_line(fashion, photos, tmp_path, file):
    model = shutil.copytree(fashion.model, tmp_path / "model")
    (model / file).unlink()
    (model / file).mkdir()
    assert str(model) in refusal(lambda: predict(str(model), str(photos), str(tmp_path / "p.jsonl")))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [28, 28, 3]},
        {"shape": [30, 28, 1], "resized": True},
        {"classes": ["one", "two"]},
        {"classes": [str(i) for i in range(11)]},
    ],
)
def test_a_description_that_does_not_fit_the_model_is_one_line(fashion, photos, tmp_path, changes):
    model = shutil.copytree(fashion.model, tmp_path / "model")
    info = json.loads((model / "dataset.json").read_text())
    (model / "dataset.json").write_text(json.dumps(info | {"resized": True} | changes))
    message = refusal(lambda: predict(str(model), str(photos), str(tmp_path / "p.jsonl")))
    takes, gives = "{'image': ('uint8', [None, 28, 28, 1])}", "{'probabilities': ('float32', [None, 10])}"
    assert f"takes {takes} and gives {gives}, expected" in message


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff\xfe", b"null"])
@pytest.mark.parametrize("file", ["dataset.json", "reference.json"])
def test_a_description_that_is_none_is_one_line(fashion, photos, tmp_path, file, text):
    model = shutil.copytree(fashion.model, tmp_path / "model")
    (model / file).write_bytes(text)
    assert f"{file}: not " in refusal(lambda: drift(str(model), str(photos), 0.2))


def test_a_reference_of_other_data_is_one_line(fashion, photos, tmp_path):
    model = shutil.copytree(fashion.model, tmp_path / "model")
    whole = json.loads((model / "reference.json").read_text())
    del whole["numbers"]["edges"]
    (model / "reference.json").write_text(json.dumps(whole))
    message = refusal(lambda: drift(str(model), str(photos), 0.2))
    assert "reference.json: of ['brightness', 'contrast', 'T-shirt/top'" in message
    whole["numbers"]["edges"] = {"values": [1.0, 2.0], "below": [0.0], "up_to": [1.0], "mean": 1.0}
    (model / "reference.json").write_text(json.dumps(whole))
    assert "as many shares as values are expected" in refusal(lambda: drift(str(model), str(photos), 0.2))


# Which input


def test_a_file_that_is_none_fails_alone(fashion, photos, tmp_path):
    (photos / "nowhere.png").symlink_to(photos / "gone.png")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    for name in ("pipe.png", "pipe.tfrecord", "pipe-idx3-ubyte"):
        os.mkfifo(photos / name)
    (photos / "zero.png").symlink_to("/dev/zero")
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes((photos / "0.png").read_bytes())
    (photos / os.fsdecode(b"bad\xe9.png")).write_text("no picture")
    done = predict(str(fashion.model), str(photos), str(tmp_path / "p.jsonl"))
    assert (done.predicted, done.failed) == (11, 7)
    assert {row["id"] for row in lines(tmp_path / "p.jsonl")} == {f"{i}.png" for i in range(10)} | {"caf\\xe9.png"}
    pipe = "a pipe or a device, expected a file"
    assert reasons(tmp_path / "p.jsonl") == {
        "bad\\xe9.png": "unreadable image: not a PNG, JPEG, BMP, GIF, WEBP or TIFF",
        "loop.png": "unreadable image: Too many levels of symbolic links",
        "nowhere.png": "unreadable image: a link to nothing",
        "pipe-idx3-ubyte": pipe,
        "pipe.png": f"unreadable image: {pipe}",
        "pipe.tfrecord": pipe,
        "zero.png": f"unreadable image: {pipe}",
    }
    text = (tmp_path / "p.errors.jsonl").read_bytes() + (tmp_path / "p.jsonl").read_bytes()
    assert b"\\ud" not in text, "half a character, which JSON doesn't have"


@pytest.mark.parametrize("name", ["pipe.png", "pipe-idx3-ubyte", "zero.png", "nowhere.png", "a\0b.png", "x" * 300])
@pytest.mark.parametrize("call", [predict, drift])
def test_an_input_that_is_none_is_one_line(fashion, tmp_path, name, call):
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    elif name == "zero.png":
        (tmp_path / name).symlink_to("/dev/zero")
    elif name == "nowhere.png":
        (tmp_path / name).symlink_to(tmp_path / "gone")
    more = str(tmp_path / "out" / "p.jsonl") if call is predict else 0.2
    assert str(tmp_path) in refusal(lambda: call(str(fashion.model), str(tmp_path / name), more))
    assert not (tmp_path / "out").exists()


def test_a_picture_of_another_size_is_refused_where_those_of_the_training_were_not_resized(exports, tmp_path):
    Image.new("RGB", (4000, 3000), (200, 30, 20)).save(tmp_path / "large.png")
    message = refusal(
        lambda: predict(str(exports["fashion"].model), str(tmp_path / "large.png"), f"{tmp_path}/p.jsonl")
    )
    assert "large.png: 3000 x 4000 pixels, expected 28 x 28" in message
    predict(str(exports["pictures"].model), str(tmp_path / "large.png"), str(tmp_path / "p.jsonl"))
    assert lines(tmp_path / "p.jsonl")[0]["class"] == "red"


def test_pictures_are_read_as_in_the_training(exports, tmp_path):
    """Turned by EXIF, and no file of another format."""
    found = exports["pictures"]
    pixels = np.zeros((8, 6, 3), np.uint8)
    pixels[:4] = [220, 30, 10]
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(pixels).save(tmp_path / "upright.png")
    Image.fromarray(np.rot90(pixels, -1)).save(tmp_path / "turned.png", exif=exif)
    (tmp_path / "cat.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{1 pop} loop\n"
    )
    predict(str(found.model), str(tmp_path), str(tmp_path / "out" / "p.jsonl"))
    turned, upright = lines(tmp_path / "out" / "p.jsonl")
    assert turned["probabilities"] == upright["probabilities"]
    assert "not a PNG" in reasons(tmp_path / "out" / "p.jsonl")["cat.png"]


def test_records_of_pictures_are_called_by_their_files(exports, tmp_path):
    found = exports["pictures"]
    predict(str(found.model), str(found.dataset), str(tmp_path / "p.jsonl"))
    folder = Path(found.options["path"])
    rows = lines(tmp_path / "p.jsonl")
    assert sorted(row["id"] for row in rows) == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))
    predict(str(found.model), str(folder), str(tmp_path / "q.jsonl"))
    direct = {row["id"]: row["class"] for row in lines(tmp_path / "q.jsonl")}
    assert {row["id"]: row["class"] for row in rows} == direct


# Which output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("x" * 240 + ".jsonl", "a name of 246 letters, expected at most 200"),
        ("x" * 300 + "/p.jsonl", "File name too long"),
        ("a\0b.jsonl", "null byte"),
        ("folder.jsonl", "a folder, expected a file"),
        ("file/p.jsonl", "is not a folder"),
        ("file/x/p.jsonl", "is not a folder"),
        ("nowhere/p.jsonl", "is not a folder"),
    ],
)
def test_an_output_that_can_not_be_written_is_one_line(fashion, photos, tmp_path, output, message):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    assert message in refusal(lambda: predict(str(fashion.model), str(photos), str(tmp_path / output)))


def test_a_folder_that_may_not_be_written_into_is_one_line(fashion, photos):
    assert refusal(lambda: predict(str(fashion.model), str(photos), "/proc/none/p.jsonl")).startswith("/proc/none/")


@pytest.mark.parametrize("room", [0, 3000, 40_000])
def test_a_full_disk_is_one_line_and_can_be_gone_on_from(fashion, tmp_path, room):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(np.tile(fashion.images, (4, 1, 1))))
    given = [str(fashion.model), str(tmp_path / "images-idx3-ubyte")]
    predict(*given, str(tmp_path / "whole.jsonl"))
    output = tmp_path / "out" / "p.jsonl"
    with small_files(room):
        message = refusal(lambda: predict(*given, str(output)))
    assert message == f"{output}: File too large; what was predicted stays for another try"
    assert not output.exists()
    predict(*given, str(output))
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert files_below(tmp_path / "out") == {"p.jsonl"}


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few predictions."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path / "disk"]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path / "disk"
    subprocess.run(["umount", "--lazy", tmp_path / "disk"], check=True)


@pytest.mark.parametrize("command", ["predict", "drift"])
def test_the_command_says_that_the_disk_is_full(fashion, small_disk, tmp_path, command):
    (tmp_path / "images-idx3-ubyte").write_bytes(idx(np.tile(fashion.images, (4, 1, 1))))
    if command == "drift":
        (small_disk / "full").write_bytes(bytes(64 << 10))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", command, "--trust", "--model", fashion.model,
         "--input", tmp_path / "images-idx3-ubyte", "--output", small_disk / "out" / "p.jsonl"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {small_disk}/out/p.jsonl: No space left on device")
    assert done.stderr.count("\n") == 1
