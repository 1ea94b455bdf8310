"""Files and folders that are in the way."""

import os
import shutil
import sys
from pathlib import Path

from components.common.errors import InputError


def set_aside(path: Path, problem: str) -> None:
    """Rename a file or folder that can't be used, and print a line that says so: its path, the problem, its new name.

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
