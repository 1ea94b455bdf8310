"""Find, decode and compare the files of a folder of pictures, which has one folder for each class."""

import functools
import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError
from components.common.files import printable
from components.readers import pictures


@dataclass(frozen=True)
class Picture:
    """A picture that can be read.

    Attributes:
        path: The file.
        name: Its path in the folder, "<class>/<file>", or "<class>/<subfolder>/<file>".
        size: Its height and width in pixels, before it is resized.
        digest: The digest of its pixels, after it is resized. Two pictures of the same digest are the same example.
        grey: Whether it has no colour, or was read as grey.
    """

    path: Path
    name: str
    size: tuple[int, int]
    digest: str
    grey: bool

    @property
    def label(self) -> str:
        """The name of its class."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class PictureFolder:
    """The content of a folder.

    Attributes:
        classes: The readable pictures of each class. Classes and pictures are in the order of their names.
        unreadable: For each class, a line for each file that can't be read.
        problems: A line for each entry that can't be a class.
        others: The number of files that aren't pictures by their names.
    """

    classes: dict[str, list[Picture]]
    unreadable: dict[str, list[str]]
    problems: list[str]
    others: int

    def copies(self) -> list[list[Picture]]:
        """The groups of two or more pictures that are the same example, in the order of their names."""
        same = defaultdict(list)
        for members in self.classes.values():
            for picture in members:
                same[picture.digest].append(picture)
        return [group for group in same.values() if len(group) > 1]


def read_folder(root: Path, channels: int, size: tuple[int, int] | None = None) -> PictureFolder:
    """Decode every picture of a folder. The pictures of a class lie in its folder and in subfolders of it.

    Args:
        root: The folder.
        channels: 1 for grey, 3 for colour.
        size: The height and width that pictures are resized to before they are compared.

    Raises:
        InputError: The folder doesn't exist, or it can't be read.
    """
    try:
        if not root.is_dir():
            raise InputError(f"{root}: {'a file, expected a folder' if root.exists() else 'no such folder'}")
        entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
        folders = tuple((entry, tuple(_files(entry))) for entry in entries if entry.is_dir())
    except OSError as error:
        raise InputError(f"{error.filename or root}: {error.strerror}") from None
    broken = [entry for entry in entries if entry.is_symlink() and not entry.exists()]
    return _decoded(folders, tuple(f"{printable(entry)}: a link to nothing" for entry in broken), channels, size)


# The path, size and time of a file. With a change of the file, they are another key for the cache of `_decoded`.
_File = tuple[Path, tuple[int, int]]


def _files(folder: Path) -> Iterator[_File]:
    """The files below a folder, but for hidden ones. Links to folders come as files, for they may lead in a circle."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            status = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
            yield path, (status.st_size, status.st_mtime_ns)


# Ingest checks a source before it reads it, both in one process, and decoding takes long.
@functools.lru_cache(maxsize=1)
def _decoded(
    folders: tuple[tuple[Path, tuple[_File, ...]], ...],
    problems: tuple[str, ...],
    channels: int,
    size: tuple[int, int] | None,
) -> PictureFolder:
    classes: dict[str, list[Picture]] = {}
    unreadable: dict[str, list[str]] = {}
    lines, others = list(problems), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for folder, files in folders:
            if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in folder.name):
                lines.append(f"{printable(folder)}: a class whose name isn't text, expected letters of UTF-8")
                continue
            paths = [path for path, _ in files if path.suffix.lower() in pictures.SUFFIXES or path.is_dir()]
            others += len(files) - len(paths)
            read = list(pool.map(functools.partial(_picture, folder=folder, channels=channels, size=size), paths))
            classes[folder.name] = [picture for picture in read if isinstance(picture, Picture)]
            unreadable[folder.name] = [line for line in read if isinstance(line, str)]
    return PictureFolder(classes, unreadable, lines, others)


def _picture(path: Path, folder: Path, channels: int, size: tuple[int, int] | None) -> Picture | str:
    """Read a picture of a class's folder. The result is a line where it can't be read."""
    name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
    if path.is_dir():
        return f"{printable(path)}: a link to a folder, expected a folder or a picture"
    try:
        name.encode()
        whole = pictures.read(path, channels)
    except UnicodeEncodeError:
        return f"{printable(path)}: unreadable image: its name isn't UTF-8"
    except InputError as error:
        return f"{path}: {error}"
    resized = whole if size is None else pictures.resized(whole, size)
    digest = hashlib.sha256(f"{resized.size}".encode() + resized.tobytes()).hexdigest()
    grey = len({band.tobytes() for band in resized.split()}) == 1
    return Picture(path, name, (whole.height, whole.width), digest, grey)
