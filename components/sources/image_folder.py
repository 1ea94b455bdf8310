"""Images of the user's own: a folder that holds one folder per class.

Each class is divided into splits by itself, in an order that follows from the names of its images alone. So an image
mostly stays in its split when others are added: only those beside the border between two splits can move.
"""

import hashlib
import io
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from components.artifacts.dataset import SPLITS, Check
from components.common.errors import InputError
from components.common.files import sha256
from components.common.spec import Facts, ImageOptions
from components.data.records import Image, Images
from components.readers import pictures
from components.readers.picture_folder import Picture, PictureFolder, read_folder
from components.vertex.cloud_storage import DataPath, local

TASK = "classification"


class Options(ImageOptions):
    """Options of a folder of images.

    Attributes:
        path: The folder, relative to the config, or gs://bucket/folder.
        height: Images are resized to this many rows,
        width: and this many columns.
        channels: 1 for grey, 3 for colour.
        test: Share of each class held back for the test split.
        skip_unreadable: Leave out files that can't be read; else they are refused.
        duplicates: What to do with images that are the same (after resizing) and have different labels: "refuse",
            "drop" all of them, or "keep" them, as training images. Those of one label are kept in one split.
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
        InputError: With all problems: a folder is missing or too small, images can't be read, or are under two labels.
    """
    found = _look(options)
    paths = [picture.path for own in found.classes.values() for picture in own]
    shape = [options.height, options.width, options.channels]
    size = math.prod(shape) + 200
    return Facts(fingerprint=sha256(paths, local(options.path)), bytes=size * len(paths), shape=shape)


def read(options: Options) -> Images:
    """Read the images, resized, as PNG."""
    found = _look(options)
    splits: dict[str, list[tuple[Picture, int]]] = {split: [] for split in SPLITS}
    disputed = _disputed(found)
    for label, own in enumerate(found.classes.values()):
        parts = _split([picture for picture in own if picture.digest not in disputed], options)
        if options.duplicates == "keep":
            parts["train"] += [picture for picture in own if picture.digest in disputed]
        for split, part in parts.items():
            splits[split] += [(picture, label) for picture in part]
    for split in SPLITS:
        splits[split].sort(key=lambda item: _place(item[0], "order"))

    def images(split: str) -> Iterator[Image]:
        for picture, label in splits[split]:
            buffer = io.BytesIO()
            pictures.read(picture.path, options.channels, (options.height, options.width)).save(buffer, "PNG")
            yield buffer.getvalue(), label

    return Images(
        classes=list(found.classes),
        shape=(options.height, options.width, options.channels),
        splits={split: lambda split=split: images(split) for split in SPLITS},  # type: ignore[misc]
        resized=True,
        files={split: [picture.name for picture, _ in splits[split]] for split in SPLITS},
        checks=_checks(found, disputed, options),
    )


def _look(options: Options) -> PictureFolder:
    """What is in the folder.

    Raises:
        InputError: It can't be trained on; with all problems.
    """
    if options.channels == 2:
        raise InputError(f"{options.path}: channels is 2, expected 1 (grey) or 3 (colour)")
    root = local(options.path)
    found = read_folder(root, options.channels, (options.height, options.width))
    problems = list(found.problems)
    if len(found.classes) < 2:
        count = "1 folder" if len(found.classes) == 1 else f"{len(found.classes)} folders"
        problems.append(f"{options.path}: {count}, expected one for each of 2 or more classes")
    disputed = _disputed(found)
    for name, own in found.classes.items():
        different = len({picture.digest for picture in own} - disputed)
        unread = 0 if options.skip_unreadable else len(found.unreadable[name])
        if different + unread < len(SPLITS):
            what = "different images that no other class has" if different < len(own) else "images"
            count = f"{different} {what.replace('images', 'image') if different == 1 else what}"
            problems.append(f"{root / name}: {count}, expected 3 or more (one for each split)")
    if options.duplicates == "refuse":
        for group in found.copies():
            if group[0].digest in disputed:
                names = " and ".join(str(picture.path) for picture in group[:2])
                more = f" and {len(group) - 2} more" if len(group) > 2 else ""
                problems.append(f"{names}{more}: the same image under different labels; duplicates: drop or keep")
    if not options.skip_unreadable:
        problems += itertools.chain(*found.unreadable.values())
    if problems:
        raise InputError(*problems)
    return found


def _disputed(found: PictureFolder) -> set[str]:
    """Digests of images that are under several labels."""
    return {group[0].digest for group in found.copies() if len({picture.path.parent for picture in group}) > 1}


def _split(own: list[Picture], options: Options) -> dict[str, list[Picture]]:
    """Divide the images of a class; the same image lies in one split, and no split stays empty."""
    same = defaultdict(list)
    for picture in own:
        same[picture.digest].append(picture)

    def ordered(groups: list[list[Picture]], purpose: str) -> list[list[Picture]]:
        return sorted(groups, key=lambda group: min(_place(picture, purpose) for picture in group))

    used: list[list[Picture]] = []
    count = 0
    for group in ordered(list(same.values()), "use"):
        if count < round(options.use * len(own)) or len(used) < len(SPLITS):
            used.append(group)
            count += len(group)
    test = round(options.test * count)
    wanted = {"test": test, "validation": round(options.validation * (count - test)), "train": count}
    parts: dict[str, list[Picture]] = {split: [] for split in wanted}
    left = ordered(used, "split")
    for i, split in enumerate(wanted):
        later = len(SPLITS) - 1 - i
        while len(left) > later and (not parts[split] or len(parts[split]) < wanted[split]):
            parts[split] += left.pop(0)
    return parts


def _place(picture: Picture, purpose: str) -> float:
    """A place in [0, 1) that follows from the image's name."""
    digest = hashlib.sha256(f"{purpose}/{picture.name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _checks(found: PictureFolder, disputed: set[str], options: Options) -> list[Check]:
    twice = sum(picture.digest in disputed for own in found.classes.values() for picture in own)
    what = {"refuse": "", "drop": ", left out", "keep": ", all training images"}[options.duplicates]
    unread = sum(map(len, found.unreadable.values()))
    return [
        Check(name="the same image under different labels", found=f"{twice} files{what if twice else ''}"),
        Check(name="unreadable files", found=f"{unread}{', left out' if unread else ''}"),
    ]
