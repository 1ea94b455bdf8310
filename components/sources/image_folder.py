"""Images from a user's folder, which has one folder for each class.

Each class is divided into splits by itself, in an order that depends only on the names of its images. So most images
stay in their split when others are added. Only those next to the border between two splits can move.
"""

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import Field

from components.artifacts.dataset import SPLITS, Check
from components.common.errors import InputError
from components.common.files import sha256
from components.common.spec import Facts, ImageOptions
from components.common.words import counted
from components.data.source_data import Image, Images
from components.readers import pictures
from components.readers.picture_folder import Picture, PictureFolder, read_folder
from components.vertex.cloud_storage import DataPath, local_path

TASK = "classification"
# The number of images that are read and held at a time.
READ_TOGETHER = 64
# Each thread may hold a picture of 80 million pixels, 240 MB, more than once.
READERS = 4
# Folders of these names alone hold splits, each with a folder for each class, and are no classes themselves.
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


class Options(ImageOptions):
    """Options of a folder of images.

    Attributes:
        path: The folder, relative to the config, or gs://bucket/folder.
        height: The height that images are resized to, in pixels.
        width: The width that images are resized to, in pixels.
        channels: 1 for grey, 3 for colour.
        test: The share of each class that becomes the test split.
        skip_unreadable: Leave out files that can't be read. Otherwise they are refused.
        duplicates: The treatment of images that are the same after resizing and have different labels: "refuse" them,
            "drop" all of them, or "keep" them as training images. The same images of one label are kept in one split.
    """

    path: DataPath
    height: int = Field(ge=1, le=pictures.LONGEST_SIDE)
    width: int = Field(ge=1, le=pictures.LONGEST_SIDE)
    channels: int = Field(default=3, ge=1, le=3)
    test: float = Field(default=0.15, gt=0, lt=1)
    skip_unreadable: bool = False
    duplicates: Literal["refuse", "drop", "keep"] = "refuse"


def check(options: Options) -> Facts:
    """Open every image once.

    Raises:
        InputError: A folder is missing or too small, or images can't be read or have two labels. All problems are
            named.
    """
    folder = _checked_folder(options)
    paths = [picture.path for members in folder.classes.values() for picture in members]
    shape = [options.height, options.width, options.channels]
    return Facts(
        fingerprint=sha256(paths, local_path(options.path)),
        bytes=(math.prod(shape) + 200) * len(paths),
        shape=shape,
        classes=list(folder.classes),
    )


def read(options: Options) -> Images:
    """Read the images, resized, as PNG."""
    folder = _checked_folder(options)
    splits: dict[str, list[tuple[Picture, int]]] = {split: [] for split in SPLITS}
    disputed = _disputed(folder)
    for label, members in enumerate(folder.classes.values()):
        parts = _split([picture for picture in members if picture.digest not in disputed], options)
        if options.duplicates == "keep":
            parts["train"] += [picture for picture in members if picture.digest in disputed]
        for split, part in parts.items():
            splits[split] += [(picture, label) for picture in part]
    for split in SPLITS:
        splits[split].sort(key=lambda item: _position(item[0], "order"))

    def image(item: tuple[Picture, int]) -> Image:
        picture, label = item
        return pictures.png(pictures.read(picture.path, options.channels, (options.height, options.width))), label

    def images(split: str) -> Iterator[Image]:
        with ThreadPoolExecutor(READERS) as pool:
            for first in range(0, len(splits[split]), READ_TOGETHER):
                yield from pool.map(image, splits[split][first : first + READ_TOGETHER])

    return Images(
        classes=list(folder.classes),
        shape=(options.height, options.width, options.channels),
        splits={split: lambda split=split: images(split) for split in SPLITS},  # type: ignore[misc]
        resized=True,
        files={split: [picture.name for picture, _ in splits[split]] for split in SPLITS},
        checks=_checks(folder, disputed, options),
    )


def _checked_folder(options: Options) -> PictureFolder:
    """Read the folder, and check that a model can be trained on it.

    Raises:
        InputError: It can't. All problems are named.
    """
    if options.channels == 2:
        raise InputError(f"{options.path}: channels is 2, expected 1 (grey) or 3 (colour)")
    root = local_path(options.path)
    folder = read_folder(root, options.channels, (options.height, options.width))
    problems = list(folder.problems)
    if len(folder.classes) < 2:
        count = counted(len(folder.classes), "folder")
        problems.append(f"{options.path}: {count}, expected one for each of 2 or more classes")
    elif {name.lower() for name in folder.classes} <= _SPLITS:
        found = ", ".join(folder.classes)
        problems.append(f"{options.path}: folders of splits ({found}), expected one folder for each class")
    disputed = _disputed(folder)
    for name, members in folder.classes.items():
        different = len({picture.digest for picture in members} - disputed)
        unread = 0 if options.skip_unreadable else len(folder.unreadable[name])
        if different + unread < len(SPLITS):
            noun = "different images that no other class has" if different < len(members) else "images"
            count = f"{different} {noun.replace('images', 'image') if different == 1 else noun}"
            problems.append(f"{root / name}: {count}, expected 3 or more (one for each split)")
    if options.duplicates == "refuse":
        for group in folder.copies():
            if group[0].digest in disputed:
                names = " and ".join(str(picture.path) for picture in group[:2])
                others = f" and {len(group) - 2} more" if len(group) > 2 else ""
                problems.append(f"{names}{others}: the same image under different labels; duplicates: drop or keep")
    if not options.skip_unreadable:
        problems += itertools.chain(*folder.unreadable.values())
    if problems:
        raise InputError(*problems)
    return folder


def _disputed(folder: PictureFolder) -> set[str]:
    """The digests of images that have several labels."""
    return {group[0].digest for group in folder.copies() if len({picture.label for picture in group}) > 1}


def _split(members: list[Picture], options: Options) -> dict[str, list[Picture]]:
    """Divide the images of a class. The same image is never in two splits, and no split is empty."""
    by_digest = defaultdict(list)
    for picture in members:
        by_digest[picture.digest].append(picture)

    def ordered(groups: list[list[Picture]], purpose: str) -> list[list[Picture]]:
        return sorted(groups, key=lambda group: min(_position(picture, purpose) for picture in group))

    used: list[list[Picture]] = []
    count = 0
    for group in ordered(list(by_digest.values()), "use"):
        if count < round(options.use * len(members)) or len(used) < len(SPLITS):
            used.append(group)
            count += len(group)
    test = round(options.test * count)
    sizes = {"test": test, "validation": round(options.validation * (count - test)), "train": count}
    parts: dict[str, list[Picture]] = {split: [] for split in sizes}
    remaining = ordered(used, "split")
    for i, split in enumerate(sizes):
        later_splits = len(SPLITS) - 1 - i
        while len(remaining) > later_splits and (not parts[split] or len(parts[split]) < sizes[split]):
            parts[split] += remaining.pop(0)
    return parts


def _position(picture: Picture, purpose: str) -> float:
    """A position in [0, 1) that depends only on the image's name."""
    digest = hashlib.sha256(f"{purpose}/{picture.name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _checks(folder: PictureFolder, disputed: set[str], options: Options) -> list[Check]:
    count = sum(picture.digest in disputed for members in folder.classes.values() for picture in members)
    treatment = {"refuse": "", "drop": ", left out", "keep": ", all training images"}[options.duplicates]
    unread = sum(map(len, folder.unreadable.values()))
    return [
        Check(name="the same image under different labels", found=f"{count} files{treatment if count else ''}"),
        Check(name="unreadable files", found=f"{unread}{', left out' if unread else ''}"),
    ]
