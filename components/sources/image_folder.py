"""Images of the user's own: a folder that holds one folder per class.

Which split an image falls into depends on its name alone, so it stays there when others are added.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image as Pillow
from pydantic import Field

from components import pictures
from components.data_files import DataPath, local
from components.errors import InputError
from components.files import sha256
from components.records import Image, Images
from components.spec import Facts, ImageOptions

TASK = "classification"


class Options(ImageOptions):
    """Options of a folder of images.

    Attributes:
        path: The folder, relative to the config, or gs://bucket/folder.
        height: Images are resized to this many rows,
        width: and this many columns.
        channels: 1 for grey, 3 for colour.
        test: Share of each class held back for the test split.
    """

    path: DataPath
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: int = Field(default=3, ge=1, le=3)
    test: float = Field(default=0.15, gt=0, lt=1)


def check(options: Options) -> Facts:
    """Open every image once.

    Raises:
        InputError: A folder is missing or too small, or an image can't be read.
    """
    if options.channels == 2:
        raise InputError(f"{options.path}: channels is 2, expected 1 (grey) or 3 (colour)")
    paths = [path for _, paths in _classes(options) for path in paths]
    for path in paths:
        _pixels(path, options)
    size = options.height * options.width * options.channels + 100
    return Facts(fingerprint=sha256(paths, local(options.path)), bytes=size * len(paths))


def read(options: Options) -> Images:
    """Read the images, resized, as PNG."""
    splits: dict[str, list[tuple[Path, int]]] = {"train": [], "validation": [], "test": []}
    classes = _classes(options)
    for label, (_, paths) in enumerate(classes):
        for split, part in _split(paths, options).items():
            splits[split] += [(path, label) for path in part]

    def images(split: str) -> Iterator[Image]:
        for path, label in sorted(splits[split], key=lambda item: _order(item[0])):
            buffer = io.BytesIO()
            _pixels(path, options).save(buffer, "PNG")
            yield buffer.getvalue(), label

    return Images(
        classes=[name for name, _ in classes],
        shape=(options.height, options.width, options.channels),
        splits={split: lambda split=split: images(split) for split in splits},  # type: ignore[misc]
        resized=True,
    )


def _split(paths: list[Path], options: Options) -> dict[str, list[Path]]:
    """Split a class by the place in [0, 1) that each image's name hashes to; no split stays empty."""
    ends = [options.test, options.test + (1 - options.test) * options.validation, 1.0]
    parts: list[list[Path]] = [[], [], []]
    ordered = sorted(paths, key=_order)
    used = [path for path in ordered if _place(path, "use") < options.use]
    for path in used if len(used) >= len(parts) else ordered[: len(parts)]:
        parts[next(i for i, end in enumerate(ends) if _place(path, "split") < end)].append(path)
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return dict(zip(("test", "validation", "train"), parts, strict=True))


def _place(path: Path, purpose: str) -> float:
    digest = hashlib.sha256(f"{purpose}/{path.parent.name}/{path.name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _order(path: Path) -> float:
    return _place(path, "order")


def _classes(options: Options) -> list[tuple[str, list[Path]]]:
    root = local(options.path)
    if not root.is_dir():
        raise InputError(f"{options.path}: no such folder")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise InputError(f"{options.path}: {len(folders)} folders, expected one for each of 2 or more classes")
    classes = []
    for folder in folders:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in pictures.SUFFIXES)
        if len(paths) < 3:
            raise InputError(f"{folder}: {len(paths)} images, expected 3 or more (one for each split)")
        classes.append((folder.name, paths))
    return classes


def _pixels(path: Path, options: Options) -> Pillow.Image:
    try:
        return pictures.read(path, options.channels, (options.height, options.width))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
