"""What has its name is on the disk: content is synced before a rename, and the folder that holds the name after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from components.common.files import atomic_directory, point_link, write_text
from components.train.checkpoint import Checkpoints


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """Looks at each rename, and gives the folders whose names aren't on the disk.

    What a power loss would leave are files and folders as they were when they were last synced."""
    synced, unsynced = {}, set()

    def state(path):
        status = path.stat()
        return (sorted(path.iterdir()) if path.is_dir() else status.st_size), status.st_mtime_ns

    def fsync(descriptor, real=os.fsync):
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced[path] = state(path)
        unsynced.discard(path)

    def looking(real):
        def rename(source, target, *more, **named):
            if not Path(source).is_symlink():
                for path in [Path(source), *Path(source).rglob("*")]:
                    assert synced.get(path.resolve()) == state(path), f"{path} is renamed before it is synced"
            real(source, target, *more, **named)
            unsynced.add(Path(target).parent.resolve())

        return rename

    def mkdir(path, *more, real=os.mkdir, **named):
        real(path, *more, **named)
        if ".partial" not in str(path):
            unsynced.add(Path(path).parent.resolve())

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", looking(os.rename))
    monkeypatch.setattr(os, "replace", looking(os.replace))
    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(tf.io.gfile, "rename", looking(tf.io.gfile.rename))
    return unsynced


def test_the_fixture_sees_what_is_not_synced(disk, tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(AssertionError, match="renamed before it is synced"):
        (tmp_path / "file").replace(tmp_path / "other")
    (tmp_path / "new").mkdir()
    assert disk == {tmp_path}


def test_a_text(disk, tmp_path):
    write_text(tmp_path / "new" / "folders" / "file", "first")
    write_text(tmp_path / "new" / "folders" / "file", "second")
    assert not disk
    assert [path.name for path in (tmp_path / "new" / "folders").iterdir()] == ["file"]


def test_a_folder(disk, tmp_path):
    for text in ("first", "second"):
        with atomic_directory(tmp_path / "new" / "folder") as new:
            (new / "deep" / "er").mkdir(parents=True)
            (new / "deep" / "er" / "file").write_text(text)
            (new / "deep" / "link").symlink_to("er/file")
            (new / "file").write_text(text)
    assert not disk
    assert (tmp_path / "new" / "folder" / "deep" / "link").read_text() == "second"


def test_a_link(disk, tmp_path):
    for target in ("one", "two"):
        point_link(tmp_path / "current", target)
    assert not disk
    assert (tmp_path / "current").readlink() == Path("two")


def test_a_checkpoint(disk, tmp_path):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    checkpoints = Checkpoints(str(tmp_path / "checkpoints" / "mlp-1"), model)
    for number in (1, 2, 3):
        checkpoints.save({"number": number})
    assert not disk
    assert checkpoints.newest() == 3


def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for name in ("file", "folder"):
        (tmp_path / f".{name}.{process.pid}.partial").mkdir()
    other = tmp_path / f".file.{process.pid}.partial"
    write_text(tmp_path / "file", "text")
    assert other.exists()
    process.communicate(b"\n")
    write_text(tmp_path / "file", "text")
    with atomic_directory(tmp_path / "folder"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_text_that_cannot_be_written_leaves_nothing_beside(tmp_path, monkeypatch):
    write_text(tmp_path / "file", "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "file", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
