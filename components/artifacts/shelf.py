"""The versions of a data set's model, <registry>/<experiment>/<data set>/<version>, and the link `current` to one."""

from pathlib import Path

from components.common.errors import InputError
from components.common.files import point_link

CURRENT = "current"


def versions(shelf: Path) -> list[str]:
    """The versions of the model, the oldest first."""
    return sorted((path.name for path in shelf.glob("*") if path.name.isdigit() and path.is_dir()), key=int)


def current(shelf: Path) -> str | None:
    """The version that `current` points to; None where the link or the version doesn't exist."""
    link = shelf / CURRENT
    name = str(link.readlink()) if link.is_symlink() else ""
    return name if name in versions(shelf) else None


def make_current(shelf: Path, version: str) -> None:
    """Point `current` to a version, atomically.

    Raises:
        InputError: A file or folder stands in the link's place.
    """
    link = shelf / CURRENT
    if link.exists() and not link.is_symlink():
        raise InputError(f"{link}: is no link to a version; move it away")
    point_link(link, version)
