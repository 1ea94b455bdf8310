"""Files that can't be read, and folders that can't be used."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from components.common.errors import InputError


def set_aside(path: Path, problem: str) -> None:
    """Rename a file or folder that can't be used, and print a line that says so.

    Args:
        path: The file or folder.
        problem: The part of the line after the path, such as "isn't a folder".

    Raises:
        InputError: It can't be renamed.
    """
    number = 1
    while os.path.lexists(new := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    try:
        path.rename(new)
    except OSError as error:
        raise InputError(f"{os.path.relpath(path)}: {problem}, and can't be renamed: {error.strerror}") from None
    print(f"{os.path.relpath(path)} {problem}; it is {new.name} now", file=sys.stderr, flush=True)


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a file or link. It needn't exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def usable(folder: Path, ours: bool = False) -> None:
    """Make sure that a folder exists and can be written to.

    Args:
        folder: The folder.
        ours: The folder holds nothing of the user's, so that a file in its place may be renamed.

    Raises:
        InputError: The folder can't be made or written to.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        problem = "is a link to what isn't there" if folder.is_symlink() else "isn't a folder"
        if not ours:
            raise InputError(f"{os.path.relpath(folder)}: {problem}; expected a folder")
        set_aside(folder, problem)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{os.path.relpath(folder)}: can't be written to: {error.strerror}") from None
