"""Write files and folders that appear as a whole or not at all, even after a power loss.

The content is synced to the disk before it gets its name, and the folder that holds the name is synced after that.
Otherwise a file system may keep the name and lose the content.
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

# Vertex mounts Cloud Storage here: /gcs/<bucket>/<object>.
MOUNT = Path("/gcs")


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, which replaces `path` at the end. On an error it is removed.

    Cloud Storage can't rename folders, and its mount refuses to (gcsfuse, rename-dir-limit: 0). So there the folder is
    made on this machine's disk and copied at the end. A task that is killed while it copies has failed, and nobody
    reads its output.

    Args:
        path: The folder to make. An existing folder is replaced only at the end.

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
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(path.parent)
    partial.mkdir()
    try:
        yield partial
        sync(*(Path(folder, name) for folder, _, names in os.walk(partial) for name in ("", *names)))
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def scratch_directory(parent: Path | None = None) -> Iterator[Path]:
    """Yield a directory that is removed at the end. Meanwhile it is this process' directory for temporary files.

    Args:
        parent: The folder to make it in; None for the system's temporary directory.
    """
    with tempfile.TemporaryDirectory(dir=parent, prefix=".scratch-") as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def copy_contents(source: Path, target: Path) -> None:
    """Copy the files below a folder, without their times and modes.

    Only a file's owner can set those, and the mount of Cloud Storage belongs to another user.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(source)).mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, target / path.relative_to(source))


def printable(path: Path | str) -> str:
    """A path that can be printed, with escapes for bytes that aren't UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


def not_a_file(path: Path, or_folder: bool = False) -> str | None:
    """The reason why a path isn't a readable file; None where it is. The file isn't opened, for a pipe would block.

    Args:
        path: The path.
        or_folder: Whether a folder is allowed as well.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "no such file"
    except (OSError, ValueError) as error:  # a name with a zero byte gives a ValueError
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISDIR(mode):
        return None if or_folder else "a folder, expected a file"
    return None if stat.S_ISREG(mode) else "a pipe or a device, expected a file"


def write_text(path: Path, text: str) -> None:
    """Write a text so that a reader sees the old content or the new one, never a part."""
    if on_mount(path):
        # An object of Cloud Storage appears as a whole, when its file is closed.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    make_folder(path.parent)
    partial = _partial(path)
    try:
        partial.write_text(text, encoding="utf-8")
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def sync(*paths: Path) -> None:
    """Wait until files, and the names in folders, are on the disk.

    Symbolic links are left out, and so are paths in Cloud Storage, which stores a closed file at once.
    """
    for path in paths:
        if path.is_symlink() or on_mount(path):
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems can't sync folders
                raise
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def locked(lock: Path, busy: str) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it.

    The kernel releases the lock of a process that ends in any way.

    Args:
        lock: The lock's file, which is created, and removed at the end.
        busy: The line that is printed where another process holds the lock.
    """
    make_folder(lock.parent)
    with contextlib.ExitStack() as held:
        while True:
            file = held.enter_context(lock.open("a", encoding="utf-8"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(busy, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            # The process that held the lock has removed its file, and another one may have made it anew.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                    break
            held.close()
        held.callback(lock.unlink)
        yield


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, where it doesn't exist."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def _partial(path: Path) -> Path:
    """The path that this process writes before it renames. Such paths of processes that were killed are removed."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with contextlib.suppress(ValueError, OSError):
            try:
                os.kill(int(partial.name.split(".")[-2]), 0)
            except ProcessLookupError:
                shutil.rmtree(partial, ignore_errors=True)
                partial.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically. NaN and infinity are refused, for JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def point_link(link: Path, target: str) -> None:
    """Point a symbolic link to a target, atomically."""
    partial = _partial(link)
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(link)
    sync(link.parent)


def sha256(paths: list[Path], root: Path | None = None) -> str:
    """Digest the content of files, and with `root` their paths relative to it, in the order given.

    Args:
        paths: The files.
        root: The folder that the paths are relative to; None where paths don't count.

    Returns:
        The SHA-256 as hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in paths:
        if root is not None:
            digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """The SHA-256 of the content and the names of all files in a folder, as hexadecimal digits."""
    return sha256(sorted(path for path in folder.rglob("*") if path.is_file()), folder)


def gs(path: Path | str) -> str:
    """The gs:// address of a path under /gcs, where Vertex mounts Cloud Storage.

    Raises:
        ValueError: The path lies elsewhere.
    """
    return f"gs://{Path(path).relative_to(MOUNT).as_posix()}"


def on_mount(path: Path | str) -> bool:
    """Whether a path lies in the mount of Cloud Storage."""
    return Path(path).is_relative_to(MOUNT)
