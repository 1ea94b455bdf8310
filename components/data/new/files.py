"""Find the files of new data: a single file, or the files of a folder that a model can read."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from components.common.errors import InputError
from components.common.files import not_a_file, printable
from components.common.quiet import import_tensorflow
from components.common.spec import Task
from components.data.new.example import Failure
from components.readers import pictures
from components.vertex.cloud_storage import local_path

CSV = ".csv"
_TFRECORD = re.compile(r"\.tfrecords?(-\d{5}(-of-\d{5})?)?$")
# The names of MNIST's files. The number is that of the axes; labels have one axis.
_IDX = re.compile(r"[.-]idx[34]?(-ubyte)?(\.gz)?$")
READABLE = {
    "classification": "pictures (.png, .jpg, …), idx files (-idx3-ubyte, .gz too) or TFRecords (.tfrecord)",
    "forecasting": "CSV files (.csv) or TFRecords (.tfrecord)",
}

File = tuple[str, Path]


def is_tfrecord(name: str) -> bool:
    """Whether a file holds TFRecords, by its name."""
    return bool(_TFRECORD.search(name))


def is_idx(name: str) -> bool:
    """Whether a file holds images in the idx format, by its name."""
    return bool(_IDX.search(name))


def find_files(source: str, task: Task) -> Path:
    """The path of a file or a folder that a model of a task can read.

    Args:
        source: A path, or gs://bucket/….
        task: The model's task.

    Raises:
        InputError: There is no such file or folder, or a model can't read anything there.
    """
    path = local_path(source)
    if reason := not_a_file(path, or_folder=True):
        raise InputError(f"{source}: {'no such file or folder' if reason == 'no such file' else reason}")
    if next(named_files(path, task), None) is None:
        problem = "nothing to read" if path.is_dir() else "not a file that this model can read"
        raise InputError(f"{source}: {problem}, expected {READABLE[task]}")
    return path


def named_files(path: Path, task: Task) -> Iterator[File]:
    """The files to read, sorted by folder and name, each with its name relative to `path`.

    Only one folder's names are in memory at a time. Hidden files are ignored.

    Raises:
        InputError: A folder can't be read.
    """
    return (file for file in _all_files(path) if _readable(file[1].name, task))


def count_others(path: Path, task: Task) -> int:
    """The number of files that a model can't read by their names. Hidden files are ignored."""
    return sum(not _readable(file.name, task) for _, file in _all_files(path))


def _all_files(path: Path) -> Iterator[File]:
    if not path.is_dir():
        yield path.name, path
        return

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: {error.strerror}")

    for folder, inner, names in os.walk(path, onerror=refuse):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                file = Path(folder) / name
                yield printable(file.relative_to(path)), file


def fingerprint(path: Path, task: Task) -> str:
    """The digest of the files' names, sizes and times of change, which changes with the data."""
    digest = hashlib.sha256()
    for name, file in named_files(path, task):
        status = file.lstat() if not_a_file(file) else file.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def records(name: str, file: Path) -> Iterator[bytes | Failure]:
    """Read the records of a TFRecord file. It ends at a damaged record, for the records after that can't be found."""
    if reason := not_a_file(file):
        yield Failure(name, reason)
        return
    tf = import_tensorflow()
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            yield record
            count += 1
    except tf.errors.OpError as error:
        yield Failure(f"{name}:{count}", f"the file can't be read from here on: {error.message.split(' [')[0]}")


def _readable(name: str, task: Task) -> bool:
    if is_tfrecord(name):
        return True
    if task == "forecasting":
        return name.lower().endswith(CSV)
    return Path(name).suffix.lower() in pictures.SUFFIXES or is_idx(name)
