"""Files that users may write, families and sources, hold what a dataclass says."""

import importlib
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from components.common.errors import InputError

Kind = TypeVar("Kind")


def load_file(kind: type[Kind], module: str) -> Kind:
    """Import a file, and take from it what the fields of a dataclass name; `doc` is its docstring.

    Raises:
        InputError: It lacks something that has no default.
    """
    held: dict[str, Any] = {**vars(importlib.import_module(module))}
    held["doc"] = held["__doc__"] or ""
    parts = fields(kind)  # type: ignore[arg-type]
    required = [part.name for part in parts if part.default is MISSING]
    if missing := [name for name in required if name not in held]:
        needed = ", ".join(name for name in required if name != "doc")
        raise InputError(f"{module.replace('.', '/')}.py: no {', '.join(missing)}; it needs {needed}")
    return kind(**{part.name: held[part.name] for part in parts if part.name in held})
