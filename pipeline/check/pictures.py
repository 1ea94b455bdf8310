"""The command check, of a folder of pictures with one folder for each class."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.common.errors import MOST_PROBLEMS, InputError
from components.readers.picture_folder import Picture, PictureFolder, read_folder
from components.readers.pictures import SUFFIXES
from components.sources import image_folder
from components.vertex.cloud_storage import GS, local

# Height and width where pictures are larger, or of several sizes.
_SIDE = 64
# A picture that is shorter is too small for the pooling of a CNN.
_SMALLEST_FOR_CNN = 16
_COMMENTS = {
    "height": "all are resized to it; a larger one shows more and trains slower",
    "channels": "1 for grey, 3 for colour",
    "skip_unreadable": "leaves out the files that can't be read",
    "duplicates": "leaves out images under several labels; or keep, as training images",
}


def look(source: str) -> str:
    """Look at a folder of pictures.

    Returns:
        A config, with what was found in its comments.

    Raises:
        InputError: No config could be made of it.
    """
    found = read_folder(local(source), channels=3)
    read = [picture for own in found.classes.values() for picture in own]
    if not read:
        expected = f"expected one folder for each class, with pictures ({', '.join(sorted(SUFFIXES))})"
        raise InputError(f"{source}: no picture that can be read in its folders, {expected}")
    options = _options(source, found, read)
    lines = [
        f"{source}: {_count(len(found.classes), 'class', 'classes')}, {_count(len(read), 'picture')}",
        *_shown([f"{name}: {_count(len(own), 'picture')}" for name, own in found.classes.items()]),
        f"height x width: {_sizes(read)}",
    ]
    if found.others:
        lines.append(f"{_count(found.others, 'other file')}, which can't be pictures by their names")
    lines += ["", *(_problems(found) or ["no problems"])]
    if left := _left(options):
        lines += ["", "What this config doesn't mend:", *_shown(left)]
    comments = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return f"{comments}\n{_written(source, options)}"


def _options(source: str, found: PictureFolder, read: list[Picture]) -> dict[str, Any]:
    """Options of the data set, with which its problems are mended where options can."""
    sizes = {picture.size for picture in read}
    height, width = sizes.pop() if len(sizes) == 1 else (_SIDE, _SIDE)
    fits = max(height, width) <= 2 * _SIDE
    options: dict[str, Any] = {
        "path": source if source.startswith(GS) else str(Path(source).absolute()),
        "height": height if fits else _SIDE,
        "width": width if fits else _SIDE,
        "channels": 1 if all(picture.grey for picture in read) else 3,
    }
    if any(found.unreadable.values()):
        options["skip_unreadable"] = True
    if any(len(_labels(group)) > 1 for group in found.copies()):
        options["duplicates"] = "drop"
    return options


def _problems(found: PictureFolder) -> list[str]:
    """What is wrong with the folder, the kinds after each other."""
    unreadable = [line for own in found.unreadable.values() for line in own]
    disputed: list[str] = []
    copies: list[str] = []
    for group in found.copies():
        line = " = ".join(picture.name for picture in group[:3]) + (f" and {len(group) - 3} more" * (len(group) > 3))
        (disputed if len(_labels(group)) > 1 else copies).append(line)
    lines = _shown(found.problems)
    for what, own in (
        (f"{_count(len(unreadable), 'file')} can't be read:", unreadable),
        (f"{_count(len(disputed), 'image')} under several labels:", disputed),
        (f"{_count(len(copies), 'image')} more than once under one label, kept in one split:", copies),
    ):
        lines += [what, *(f"  {line}" for line in _shown(own))] if own else []
    return lines


def _left(options: dict[str, Any]) -> list[str]:
    """What an experiment with this data set would be refused for."""
    try:
        image_folder.check(image_folder.Options.model_validate(options))
    except InputError as error:
        return list(error.problems)
    return []


def _labels(group: list[Picture]) -> set[Path]:
    return {picture.path.parent for picture in group}


def _sizes(read: list[Picture]) -> str:
    sizes = sorted((picture.size for picture in read), key=lambda size: size[0] * size[1])
    if len(set(sizes)) == 1:
        return f"{sizes[0][0]} x {sizes[0][1]} pixels"
    places = {"smallest": 0, "median": (len(sizes) - 1) // 2, "largest": -1}
    return ", ".join(f"{what} {sizes[place][0]} x {sizes[place][1]}" for what, place in places.items()) + " pixels"


def _shown(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_PROBLEMS
    return [*lines[:MOST_PROBLEMS], *[f"and {more:,} more"] * (more > 0)]


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def _written(source: str, options: dict[str, Any]) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", Path(source).absolute().name.lower()).strip("_")[:30].strip("_")
    name = name if re.match(r"[a-z]", name) else f"data_{name}".strip("_")

    def lines() -> Iterator[str]:
        yield from ("seed: 0", "datasets:", f"  {name}:", "    source: image_folder")
        for key, value in options.items():
            text = f"    {key}: {json.dumps(value, ensure_ascii=False)}"
            yield f"{text}  # {_COMMENTS[key]}" if key in _COMMENTS else text
        family = "cnn" if min(options["height"], options["width"]) >= _SMALLEST_FOR_CNN else "mlp"
        yield from ("models:", f"  {family}:", f"    family: {family}", f"    dataset: {name}", "    epochs: 20")

    return "\n".join(lines()) + "\n"
