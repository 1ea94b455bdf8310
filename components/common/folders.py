"""Folders that are written to, and what may be in their place."""

import os
import tempfile
from pathlib import Path

from components.common.errors import InputError


def usable(folder: Path) -> None:
    """Make a folder where there is none, and make sure that it can be written to.

    Raises:
        InputError: Something else is in its place, or it can't be made or written to.
    """
    if problem := not_a_folder(folder):
        raise InputError(f"{os.path.relpath(folder)}: {problem}; expected a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{os.path.relpath(folder)}: can't be written to: {error.strerror}") from None


def not_a_folder(path: Path) -> str | None:
    """What is in a folder's place, for a message; None where it is a folder, or nothing is there."""
    if not os.path.lexists(path) or path.is_dir():
        return None
    return "is a link to what isn't there" if path.is_symlink() else "isn't a folder"
