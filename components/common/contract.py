"""The contract of families and sources, files that users may write: a dataclass lists the names that they define."""

import importlib
from dataclasses import MISSING, fields
from typing import TypeVar

from components.common.errors import InputError

Kind = TypeVar("Kind")


def load_file(kind: type[Kind], module: str) -> Kind:
    """Import a file, and return the names that a dataclass lists as its instance. `doc` is the file's docstring.

    Raises:
        InputError: The file lacks a name that has no default.
    """
    defined = {**vars(importlib.import_module(module))}
    defined["doc"] = defined["__doc__"] or ""
    parts = fields(kind)  # type: ignore[arg-type]
    required = [part.name for part in parts if part.default is MISSING]
    if missing := [name for name in required if name not in defined]:
        needed = ", ".join(name for name in required if name != "doc")
        raise InputError(f"{module.replace('.', '/')}.py: no {', '.join(missing)}; it needs {needed}")
    return kind(**{part.name: defined[part.name] for part in parts if part.name in defined})
