"""`registration.json`: what register says beside a model's files, and whether they are still those."""

import json
from pathlib import Path

from components.errors import InputError
from components.files import sha256

FILE = "registration.json"


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a model's folder but the registration, by its path in the folder."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: sha256([path]) for name, path in paths.items() if name != FILE}


def check_files(folder: Path, found: dict[str, str]) -> None:
    """Compare a model's files with what was registered.

    Args:
        folder: The model's folder. One without a registration, as export wrote it, is not checked.
        found: What `file_digests` gives now.

    Raises:
        InputError: A file was changed, added or removed since the model was registered.
    """
    path = folder / FILE
    if not path.is_file():
        return
    try:
        registered = dict(json.loads(path.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: no digests of the model's files; register the model again") from None
    for name in sorted(registered.keys() | found.keys()):
        if registered.get(name) != found.get(name):
            what = "changed" if name in registered and name in found else "removed" if name in registered else "added"
            raise InputError(
                f"{folder / name}: {what} after the model was registered; register it again, or restore it"
            )
