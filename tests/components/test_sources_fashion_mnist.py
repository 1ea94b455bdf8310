import gzip
import hashlib
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from reading import assert_refused, builder
from tensorflow_datasets import image_classification

from components.sources import fashion_mnist

ARCHIVES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def test_fashion_mnist_that_is_prepared_is_left_alone():
    builder()
    folder = Path(os.environ["TFDS_DATA_DIR"])
    before = sorted(folder.rglob("*"))
    assert "is prepared in" in fashion_mnist.fetch()
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty folder for TFDS."""
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
    builder_class = type("FashionMNIST", (), {"VERSION": "3.0.1", "url_infos": infos})
    monkeypatch.setattr(image_classification, "FashionMNIST", builder_class)
    return folder


@pytest.fixture
def prepared(debian, monkeypatch):
    """What TFDS' builder got, in place of preparing."""
    got = {}

    def prepare(builder, download_dir, download_config):
        manual = download_config.manual_dir
        got["files"] = {p.name: p.read_bytes() for p in Path(manual).iterdir()} if manual else None

    monkeypatch.setattr(image_classification.FashionMNIST, "download_and_prepare", prepare, raising=False)
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
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", debian)
    assert str(debian) in fashion_mnist.fetch()
    infos = image_classification.FashionMNIST.url_infos.values()
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
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", debian / "none")
    monkeypatch.setenv("PATH", "")
    fashion_mnist.fetch()
    assert prepared == {"files": None}


def test_an_interrupted_preparation_leaves_no_archives(data_dir, debian, prepared, monkeypatch):
    def interrupted(builder, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_classification.FashionMNIST, "download_and_prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fashion_mnist.fetch(archives=debian)
    assert list(data_dir.rglob("*")) == []


def test_a_full_disk_is_told_before_anything_is_written(data_dir, debian, prepared, monkeypatch):
    monkeypatch.setattr(fashion_mnist.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 20))
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), data_dir, "no room", "5 MB free")
    assert list(data_dir.rglob("*")) == []


def test_what_tfds_cannot_prepare_is_one_line(data_dir, debian, prepared, monkeypatch):
    def offline(builder, **_):
        raise ConnectionError("no route to the server\nand more")

    monkeypatch.setattr(image_classification.FashionMNIST, "download_and_prepare", offline)
    parts = (data_dir, "can't be prepared: no route to the server")
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), *parts)
    assert list(data_dir.rglob("*")) == []


def test_what_another_process_has_prepared_in_the_meantime_is_taken(data_dir, debian, prepared, monkeypatch):
    def late(builder, **_):
        (data_dir / "fashion_mnist/3.0.1").mkdir(parents=True)
        (data_dir / "fashion_mnist/3.0.1/dataset_info.json").touch()
        raise OSError("Cannot rename: the destination already exists")

    monkeypatch.setattr(image_classification.FashionMNIST, "download_and_prepare", late)
    assert str(data_dir / "fashion_mnist/3.0.1") in fashion_mnist.fetch(archives=debian)


@pytest.mark.parametrize("inside", ["", "fashion_mnist/3.0.1"])
@pytest.mark.parametrize("kind", ["dangling link", "loop", "file"])
def test_what_is_in_the_place_of_the_folder_is_refused_before_anything_is_fetched(
    data_dir, debian, prepared, inside, kind
):
    path = data_dir / inside
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine") if kind == "file" else path.symlink_to(path.name if kind == "loop" else "nowhere/at/all")
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), path.name, "isn't")
    assert os.path.lexists(path)
    assert prepared == {}


def test_a_folder_without_what_tfds_writes_last_is_refused(data_dir, debian, prepared):
    (data_dir / "fashion_mnist" / "3.0.1").mkdir(parents=True)
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), data_dir, "3.0.1: isn't a data set that TFDS prepared")
    assert prepared == {}


def test_a_folder_that_cannot_be_made_is_refused(debian, prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/proc/tfds")
    assert_refused(lambda: fashion_mnist.fetch(archives=debian), "proc/tfds: can't be written to")
    assert prepared == {}
