"""Files and folders that appear whole or not at all, after a power loss too.

What is written is synced to the disk before it gets its name, and the folder that holds the name is synced after it: a
file system may otherwise keep the name and lose the content.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Where Vertex mounts Cloud Storage: /gcs/<bucket>/<object>.
MOUNT = Path("/gcs")


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it takes the place of `path`, on an error it goes.

    Cloud Storage has no folders to rename, and its mount refuses to (gcsfuse, rename-dir-limit: 0), so there the
    folder is made on this machine's disk and copied in the end. A task that is ended meanwhile has failed, and
    nobody reads what it left.

    Args:
        path: The folder to make. What is there already is replaced only at the end.

    Yields:
        The folder to write into.
    """
    if on_mount(path):
        with tempfile.TemporaryDirectory() as scratch:
            new = Path(scratch) / path.name
            new.mkdir()
            yield new
            shutil.rmtree(path, ignore_errors=True)
            copy_contents(new, path)
        return
    aside = _beside(path)
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(path.parent)
    aside.mkdir()
    try:
        yield aside
        sync(*(Path(folder, name) for folder, _, names in os.walk(aside) for name in ("", *names)))
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def scratch_directory(parent: Path | None = None) -> Iterator[Path]:
    """Yield a directory that goes at the end, with all that libraries take for temporary in this process meanwhile.

    Args:
        parent: Where it is made; None for the system's temporary directory.
    """
    with tempfile.TemporaryDirectory(dir=parent, prefix=".scratch-") as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def copy_contents(source: Path, target: Path) -> None:
    """Copy the files below a folder, without their times and modes.

    Those can be set by a file's owner alone, and the mount of Cloud Storage belongs to somebody else.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, target / path.relative_to(source))


def printable(path: Path | str) -> str:
    """A path as it can be printed: bytes of a name that isn't UTF-8 are told by their numbers."""
    return os.fsencode(path).decode(errors="backslashreplace")


def not_a_file(path: Path, or_folder: bool = False) -> str | None:
    """Why a path can't be read as a file, known before anything waits for a pipe; None where it can.

    Args:
        path: The path.
        or_folder: A folder will do, too.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "no such file"
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISDIR(mode):
        return None if or_folder else "a folder, expected a file"
    return None if stat.S_ISREG(mode) else "a pipe or a device, expected a file"


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old content or the new one, never a part."""
    if on_mount(path):
        # An object of Cloud Storage appears whole, when its file is closed.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    make_folder(path.parent)
    aside = _beside(path)
    try:
        aside.write_text(text, encoding="utf-8")
        sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def sync(*paths: Path) -> None:
    """Wait until files, and the names that folders hold, are on the disk.

    Symbolic links are left out, and what lies in Cloud Storage, which keeps what was written.
    """
    for path in paths:
        if path.is_symlink() or on_mount(path):
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems have no such thing for folders
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def alone(lock: Path, busy: str) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it.

    The kernel takes it back from a process that ended, however it did.

    Args:
        lock: The lock's file, which is made and stays.
        busy: Printed where it has to wait.
    """
    make_folder(lock.parent)
    with lock.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(busy, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, if it isn't there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def _beside(path: Path) -> Path:
    """What is written first, in this process; what processes left there that were killed goes."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(ValueError, OSError):
            try:
                os.kill(int(left.name.split(".")[-2]), 0)
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)
                left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 (anything JSON can hold)
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused: JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def point_link(link: Path, target: str) -> None:
    """Let the symbolic link `link` point to `target`, switched in one step."""
    aside = _beside(link)
    aside.unlink(missing_ok=True)
    aside.symlink_to(target)
    aside.replace(link)
    sync(link.parent)


def sha256(paths: list[Path], root: Path | None = None) -> str:
    """Digest files, in the order given, by content and (with `root`) by the path relative to it.

    Args:
        paths: Files to read.
        root: Folder that the names are taken relative to; without it names don't count.

    Returns:
        The SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for path in paths:
        if root is not None:
            digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def gs(path: Path | str) -> str:
    """The gs:// name of a path under /gcs, where Vertex mounts Cloud Storage.

    Raises:
        ValueError: The path lies elsewhere.
    """
    return f"gs://{Path(path).relative_to(MOUNT).as_posix()}"


def on_mount(path: Path | str) -> bool:
    """Whether a path lies in Cloud Storage, mounted."""
    return Path(path).is_relative_to(MOUNT)
