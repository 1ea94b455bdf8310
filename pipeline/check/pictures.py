"""The command check for a folder of pictures, which has one folder for each class."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from components.common.errors import MOST_PROBLEMS, InputError, collecting
from components.common.words import counted, some
from components.readers.picture_folder import Picture, PictureFolder, read_folder
from components.readers.pictures import SUFFIXES
from components.sources import image_folder
from components.vertex.cloud_storage import GS, local_path

# The height and width of pictures that are larger, or have several sizes.
_SIDE = 64
# The smallest height and width for the pooling layers of a CNN.
_MIN_SIDE_FOR_CNN = 16
_COMMENTS = {
    "height": "all are resized to it; a larger one shows more and trains slower",
    "channels": "1 for grey, 3 for colour",
    "skip_unreadable": "leaves out the files that can't be read",
    "duplicates": "leaves out images under several labels; or keep, as training images",
}


def check(source: str) -> str:
    """Read a folder of pictures, and write a config for it.

    Returns:
        The config, with the problems of the data in its comments.

    Raises:
        InputError: The folder can't be used with any config.
    """
    folder = read_folder(local_path(source), channels=3)
    readable = [picture for members in folder.classes.values() for picture in members]
    if not readable:
        expected = f"expected one folder for each class, with pictures ({', '.join(sorted(SUFFIXES))})"
        raise InputError(f"{source}: no picture that can be read in its folders, {expected}")
    options = _options(source, folder, readable)
    lines = [
        f"{source}: {counted(len(folder.classes), 'class')}, {counted(len(readable), 'picture')}",
        *_shown([f"{name}: {counted(len(members), 'picture')}" for name, members in folder.classes.items()]),
        f"height x width: {_sizes(readable)}",
    ]
    if folder.others:
        lines.append(f"{counted(folder.others, 'other file')}, which can't be pictures by their names")
    return comments(lines, _problems(folder), _shown(_remaining_problems(options))) + _yaml_text(source, options)


def _options(source: str, folder: PictureFolder, readable: list[Picture]) -> image_folder.Options:
    """The options of the data set, with those that solve its problems."""
    sizes = {picture.size for picture in readable}
    height, width = sizes.pop() if len(sizes) == 1 else (_SIDE, _SIDE)
    fits = max(height, width) <= 2 * _SIDE
    options: dict[str, object] = {
        "path": absolute(source),
        "height": height if fits else _SIDE,
        "width": width if fits else _SIDE,
        "channels": 1 if all(picture.grey for picture in readable) else 3,
    }
    if any(folder.unreadable.values()):
        options["skip_unreadable"] = True
    if any(len({picture.label for picture in group}) > 1 for group in folder.copies()):
        options["duplicates"] = "drop"
    return image_folder.Options.model_validate(options)


def _problems(folder: PictureFolder) -> list[str]:
    """The problems of the folder, grouped by kind."""
    unreadable = [line for lines in folder.unreadable.values() for line in lines]
    disputed: list[str] = []
    copies: list[str] = []
    for group in folder.copies():
        line = some([picture.name for picture in group], 3, " = ")
        (disputed if len({picture.label for picture in group}) > 1 else copies).append(line)
    lines = _shown(folder.problems)
    for heading, members in (
        (f"{counted(len(unreadable), 'file')} can't be read:", unreadable),
        (f"{counted(len(disputed), 'image')} under several labels:", disputed),
        (f"{counted(len(copies), 'image')} more than once under one label, kept in one split:", copies),
    ):
        lines += [heading, *(f"  {line}" for line in _shown(members))] if members else []
    return lines


def _remaining_problems(options: image_folder.Options) -> list[str]:
    """The problems for which an experiment with this data set would be refused."""
    problems: list[str] = []
    with collecting(problems):
        image_folder.check(options)
    return problems


def _sizes(readable: list[Picture]) -> str:
    sizes = sorted((picture.size for picture in readable), key=lambda size: size[0] * size[1])
    if len(set(sizes)) == 1:
        return f"{sizes[0][0]} x {sizes[0][1]} pixels"
    indices = {"smallest": 0, "median": (len(sizes) - 1) // 2, "largest": -1}
    return ", ".join(f"{name} {sizes[i][0]} x {sizes[i][1]}" for name, i in indices.items()) + " pixels"


def _shown(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_PROBLEMS
    return [*lines[:MOST_PROBLEMS], *[f"and {more:,} more"] * (more > 0)]


def _yaml_text(source: str, options: image_folder.Options) -> str:
    name = dataset_name(Path(source).absolute().name)

    def lines() -> Iterator[str]:
        yield from ("seed: 0", "datasets:", f"  {name}:", "    source: image_folder")
        for key in (key for key in type(options).model_fields if key in options.model_fields_set):
            text = f"    {key}: {json.dumps(getattr(options, key), ensure_ascii=False)}"
            yield f"{text}  # {_COMMENTS[key]}" if key in _COMMENTS else text
        family = "cnn" if min(options.height, options.width) >= _MIN_SIDE_FOR_CNN else "mlp"
        yield from ("models:", f"  {family}:", f"    family: {family}", f"    dataset: {name}", "    epochs: 20")

    return "\n".join(lines()) + "\n"


def comments(lines: list[str], problems: list[str], remaining: list[str]) -> str:
    """The comments before a config, with the problems of the data, and those that the config doesn't solve."""
    if problems or not remaining:
        lines = [*lines, "", *(problems or ["no problems"])]
    if remaining:
        lines = [*lines, "", "What this config doesn't mend:", *remaining]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def absolute(source: str) -> str:
    """The absolute path of the data; a gs:// address is one already."""
    return source if source.startswith(GS) else str(Path(source).absolute())


def dataset_name(stem: str) -> str:
    """A name for the data set, from the name of its file or folder."""
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:30].strip("_")
    return name if re.match(r"[a-z]", name) else f"data_{name}".strip("_")
