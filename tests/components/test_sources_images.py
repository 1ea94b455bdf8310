import gzip
import hashlib
import io
import itertools
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image

from components.errors import InputError
from components.sources import fashion_mnist, image_folder, tfds
from components.spec import ImageOptions

ARCHIVES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def write_images(root, classes, numbers, suffix="png"):
    """Write images of one colour, a different one for each number."""
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            pixels = np.full((6, 8, 3), number, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.{suffix}")


def folder_options(root, **changes):
    return image_folder.Options(**({"path": str(root), "height": 3, "width": 5} | changes))


def decoded(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def numbers(images):
    """For each split the (label, number) of its images, see write_images."""
    return {
        split: [(label, int(decoded(data).flat[0])) for data, label in make()] for split, make in images.splits.items()
    }


def assert_refused(call, *parts):
    with pytest.raises(InputError) as refused:
        call()
    message = str(refused.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message


# A folder of images


def test_image_folder_reads_classes_sizes_and_labels(tmp_path):
    write_images(tmp_path, ["dog", "cat"], range(10))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.txt").write_text("not a class")
    images = image_folder.read(folder_options(tmp_path))
    assert images.classes == ["cat", "dog"]
    assert images.shape == (3, 5, 3)
    found = numbers(images)
    assert sorted(itertools.chain(*found.values())) == [(label, i) for label in (0, 1) for i in range(10)]
    for make in images.splits.values():
        for data, _ in make():
            assert data.startswith(b"\x89PNG")
            assert decoded(data).shape == (3, 5, 3)


def test_image_folder_splits_are_disjoint_and_hold_every_class(tmp_path):
    write_images(tmp_path, "ab", range(30))
    found = numbers(image_folder.read(folder_options(tmp_path, test=0.2, validation=0.25)))
    assert sum(len(part) for part in found.values()) == len(set(itertools.chain(*found.values()))) == 60
    for part in found.values():
        assert {label for label, _ in part} == {0, 1}


def test_image_folder_gives_the_same_order_again(tmp_path):
    write_images(tmp_path, "ab", range(8))
    assert numbers(image_folder.read(folder_options(tmp_path))) == numbers(image_folder.read(folder_options(tmp_path)))


def test_an_image_stays_in_its_split_when_others_are_added(tmp_path):
    write_images(tmp_path, "ab", range(60))
    before = numbers(image_folder.read(folder_options(tmp_path)))
    write_images(tmp_path, "ab", range(60, 120))
    after = numbers(image_folder.read(folder_options(tmp_path)))
    for split, part in before.items():
        assert set(part) <= set(after[split])


def test_the_smallest_class_has_an_image_in_each_split(tmp_path):
    write_images(tmp_path, "ab", range(3))
    found = numbers(image_folder.read(folder_options(tmp_path, use=0.01)))
    assert {split: len(part) for split, part in found.items()} == {"train": 2, "validation": 2, "test": 2}


def test_use_takes_a_share_of_each_class(tmp_path):
    write_images(tmp_path, "ab", range(60))
    found = numbers(image_folder.read(folder_options(tmp_path, use=0.5)))
    labels = [label for label, _ in itertools.chain(*found.values())]
    assert all(15 < labels.count(label) < 45 for label in (0, 1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "BMP", "gif", "webp", "tiff"])
def test_grey_images_of_every_format(tmp_path, suffix):
    write_images(tmp_path, "ab", (0, 100, 200), suffix)
    chosen = folder_options(tmp_path, channels=1)
    image_folder.check(chosen)
    images = image_folder.read(chosen)
    assert images.shape == (3, 5, 1)
    found = [decoded(data) for make in images.splits.values() for data, _ in make()]
    assert len(found) == 6
    assert all(pixels.shape == (3, 5) for pixels in found)


def test_transparency_and_palettes_become_three_channels(tmp_path):
    write_images(tmp_path, "ab", range(3))
    for i, mode in enumerate(("RGBA", "P", "LA")):
        Image.new(mode, (7, 7)).save(tmp_path / "a" / f"{i}.png")
    images = image_folder.read(folder_options(tmp_path))
    assert {decoded(data).shape for make in images.splits.values() for data, _ in make()} == {(3, 5, 3)}


def test_resizing_keeps_what_is_left_and_right(tmp_path):
    write_images(tmp_path, "ab", range(3))
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / "a" / f"{i}.png")
    images = image_folder.read(folder_options(tmp_path, height=2, width=4))
    for make in images.splits.values():
        found = next(decoded(data) for data, label in make() if label == 0)
        assert (found[:, 0] < 50).all()
        assert (found[:, 3] > 205).all()


def test_the_fingerprint_follows_names_and_content(tmp_path):
    write_images(tmp_path, "ab", range(4))
    chosen = folder_options(tmp_path)
    first = image_folder.check(chosen)
    assert image_folder.check(chosen).fingerprint == first.fingerprint
    assert first.bytes >= 8 * 3 * 5 * 3
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "9.png")
    renamed = image_folder.check(chosen).fingerprint
    (tmp_path / "a" / "9.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    assert len({first.fingerprint, renamed, image_folder.check(chosen).fingerprint}) == 3


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_named(tmp_path, content):
    write_images(tmp_path, "ab", range(3))
    (tmp_path / "b" / "1.png").write_bytes(content)
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), tmp_path / "b" / "1.png", "unreadable image")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    write_images(tmp_path, "ab", range(3))
    path = tmp_path / "a" / f"cut.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), path, "unreadable image")


def test_a_folder_with_an_images_name_is_refused(tmp_path):
    write_images(tmp_path, "ab", range(3))
    (tmp_path / "a" / "folder.png").mkdir()
    assert_refused(lambda: image_folder.check(folder_options(tmp_path)), tmp_path / "a" / "folder.png")


def test_too_few_images_classes_and_folders_are_refused(tmp_path):
    def check():
        image_folder.check(folder_options(tmp_path / "root"))

    assert_refused(check, tmp_path / "root", "no such folder")
    write_images(tmp_path / "root", "a", range(3))
    assert_refused(check, tmp_path / "root", "1 folders", "2 or more")
    write_images(tmp_path / "root", "b", range(2))
    assert_refused(check, tmp_path / "root" / "b", "2 images", "3 or more")
    write_images(tmp_path / "root", "b", range(3))
    check()


def test_two_channels_are_refused(tmp_path):
    write_images(tmp_path, "ab", range(3))
    assert_refused(lambda: image_folder.check(folder_options(tmp_path, channels=2)), tmp_path, "channels is 2")


# TensorFlow Datasets


def builder():
    folder = Path(os.environ["TFDS_DATA_DIR"]) / "fashion_mnist"
    assert folder.is_dir(), "Fashion-MNIST isn't prepared: make data"
    return tensorflow_datasets.builder("fashion_mnist", data_dir=folder.parent)


def test_tfds_images_are_those_that_tfds_gives():
    images = tfds.images(builder(), ImageOptions(use=0.001))
    assert images.shape == (28, 28, 1)
    assert len(images.classes) == 10
    parts = {"train": "train[:55]", "validation": "train[55:60]", "test": "test[:10]"}
    for split, instruction in parts.items():
        expected = list(tensorflow_datasets.as_numpy(builder().as_dataset(split=instruction)))
        found = list(images.splits[split]())
        assert [label for _, label in found] == [int(example["label"]) for example in expected]
        for (data, _), example in zip(found, expected, strict=True):
            assert (decoded(data) == example["image"][..., 0]).all()


def test_tfds_images_are_resized():
    images = tfds.images(builder(), ImageOptions(use=0.0002), 14, 10)
    assert images.shape == (14, 10, 1)
    found = [decoded(data) for make in images.splits.values() for data, _ in make()]
    assert len(found) == 14
    assert {pixels.shape for pixels in found} == {(14, 10)}


def test_a_share_too_small_for_an_image_takes_no_more_than_asked():
    try:
        train = tfds.images(builder(), ImageOptions(use=1e-6)).splits["train"]
        used = list(itertools.islice(train(), 5))
    except InputError:
        return
    assert len(used) <= 1


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"train": 120, "test": 7}, {"train": (0, 110), "validation": (110, 120), "test": (0, 7)}),
        ({"train": 120}, {"train": (0, 94), "validation": (94, 102), "test": (102, 120)}),
    ],
    ids=["test split of its own", "test split cut off"],
)
def test_splits_of_a_tfds_data_set_are_disjoint(sizes, expected):
    found = tfds._instructions(sizes, ImageOptions(), 0.15)
    for split, (first, end) in expected.items():
        of = "test" if split == "test" and "test" in sizes else "train"
        assert found[split] in (f"{of}[{first}:{end}]", f"{of}[:{end}]" if first == 0 else None)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"name": "fashion_mnst"}, ["fashion_mnst", "did you mean fashion_mnist?"]),
        ({"name": "qqqqqqqq"}, ["qqqqqqqq", "others"]),
        ({"name": "mnist", "height": 14}, ["mnist", "both height and width"]),
        ({"name": "mnist", "width": 14}, ["mnist", "both height and width"]),
        ({"name": ""}, ["name"]),
        ({"name": "a b"}, ["a b"]),
        ({"name": "cifar10/none"}, ["cifar10/none"]),
    ],
    ids=["misspelt", "nothing similar", "no width", "no height", "empty name", "a space", "unknown config"],
)
def test_bad_tfds_options_are_refused(options, parts):
    assert_refused(lambda: tfds.check(tfds.Options(**options)), *parts)


def test_a_tfds_data_set_is_fetched_before_the_run_or_refused(tmp_path, monkeypatch):
    tfds.fetch(tfds.Options(name="fashion_mnist"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    # Its archives have to be fetched by hand.
    name = "imagenet2012_real"
    assert_refused(lambda: tfds.fetch(tfds.Options(name=name)), f"tfds data set {name} can't be prepared", "anual")


def fake_builder(features, keys=("image", "label"), splits=("train",)):
    features = tensorflow_datasets.features.FeaturesDict(features)
    splits = dict.fromkeys(splits, SimpleNamespace(num_examples=12))
    return SimpleNamespace(
        info=SimpleNamespace(full_name="fake/1.0.0", features=features, supervised_keys=keys, splits=splits)
    )


def image(*shape):
    return tensorflow_datasets.features.Image(shape=shape)


LABEL = tensorflow_datasets.features.ClassLabel(num_classes=2)
TEXT = tensorflow_datasets.features.Text()


@pytest.mark.parametrize(
    ("fake", "part"),
    [
        (fake_builder({"text": TEXT, "label": LABEL}, ("text", "label")), "not one of images"),
        (fake_builder({"image": image(4, 4, 3), "label": TEXT}), "not one of images"),
        (fake_builder({"image": image(4, 4, 3), "label": LABEL}, None), "not one of images"),
        (fake_builder({"image": image(4, 4, 3), "label": LABEL}, splits=["test"]), "no train split"),
        (fake_builder({"image": image(None, None, 3), "label": LABEL}), "give height and width"),
        (fake_builder({"image": image(4, 4, 4), "label": LABEL}), "4 channels"),
    ],
    ids=["text", "no label", "no keys", "no train split", "several sizes", "four channels"],
)
def test_tfds_data_sets_that_are_not_labelled_images_are_refused(fake, part):
    assert_refused(lambda: tfds.images(fake, ImageOptions()), "fake/1.0.0", part)


# Fashion-MNIST


def test_fashion_mnist_that_is_prepared_is_left_alone():
    builder()
    folder = Path(os.environ["TFDS_DATA_DIR"])
    before = sorted(folder.rglob("*"))
    assert "is prepared in" in fashion_mnist.fetch()
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / "tfds"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """Small archives as Debian packs them; TFDS knows the digests of the same as the authors packed them."""
    folder = tmp_path / "archives"
    folder.mkdir()
    infos = {}
    for name in ARCHIVES:
        packed = gzip.compress(f"content of {name}".encode(), mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        mtime = struct.pack("<I", fashion_mnist.MTIMES[name.split("-")[0]])
        authors = b"\x1f\x8b\x08\x08" + mtime + b"\x00\x03" + name.encode() + b"\0" + packed[10:]
        assert gzip.decompress(authors) == gzip.decompress(packed)
        infos[name] = SimpleNamespace(filename=f"{name}.gz", checksum=hashlib.sha256(authors).hexdigest())
    cls = SimpleNamespace(VERSION="3.0.1", url_infos=infos)
    monkeypatch.setattr(tensorflow_datasets, "builder_cls", lambda name: cls)
    return folder


@pytest.fixture
def prepared(monkeypatch):
    """What TFDS' builder got, in place of preparing."""
    got = {}

    def prepare(download_dir, download_config):
        manual = download_config.manual_dir
        got["files"] = {p.name: p.read_bytes() for p in Path(manual).iterdir()} if manual else None

    fake = SimpleNamespace(download_and_prepare=prepare)
    monkeypatch.setattr(tensorflow_datasets, "builder", lambda name: fake)
    return got


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda path: path.unlink(), ["No such file"]),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), ["corrupt or truncated"]),
        (lambda path: path.write_bytes(b""), ["corrupt or truncated"]),
        (lambda path: path.write_bytes(path.read_bytes()[:20] + b"!" + path.read_bytes()[21:]), ["corrupt"]),
    ],
    ids=["missing", "truncated", "empty", "a byte changed"],
)
def test_a_bad_archive_is_named_and_nothing_is_left(data_dir, debian, prepared, name, spoil, parts):
    spoil(debian / f"{name}.gz")
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), debian / f"{name}.gz", *parts)
    assert list(data_dir.rglob("*")) == []
    assert prepared == {}


def test_real_digests_refuse_other_archives(data_dir, tmp_path):
    for name in ARCHIVES:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"something else"))
    assert_refused(lambda: fashion_mnist.fetch(archives=tmp_path), tmp_path, ".gz", "corrupt or truncated")
    assert list(data_dir.rglob("*")) == []


def test_debians_archives_reach_tfds_as_the_authors_packed_them(data_dir, debian, prepared, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_debian_archives", lambda scratch: debian)
    assert str(debian) in fashion_mnist.fetch()
    infos = tensorflow_datasets.builder_cls("fashion_mnist").url_infos.values()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in prepared["files"].items()}
    assert digests == {info.filename: info.checksum for info in infos}


def test_the_authors_own_archives_are_taken_as_they_are(data_dir, debian, prepared, tmp_path):
    fashion_mnist.fetch(archives=debian)
    for name, data in prepared["files"].items():
        (debian / name).write_bytes(data)
    first = dict(prepared)
    fashion_mnist.fetch(archives=debian)
    assert prepared == first


def test_without_archives_tfds_downloads(data_dir, debian, prepared, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "_debian_archives", lambda scratch: None)
    fashion_mnist.fetch()
    assert prepared == {"files": None}


def test_an_interrupted_preparation_leaves_no_archives(data_dir, debian, prepared, monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorflow_datasets.builder("fashion_mnist"), "download_and_prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fashion_mnist.fetch(archives=debian)
    assert list(data_dir.rglob("*")) == []


def test_a_full_disk_is_told_before_anything_is_written(data_dir, debian, prepared, monkeypatch):
    monkeypatch.setattr(fashion_mnist.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 20))
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), data_dir, "no room", "5 MB free")
    assert list(data_dir.rglob("*")) == []
