"""Validate values of a config with pydantic's classes, and turn errors into lines."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from components.common.errors import MOST_PROBLEMS, InputError

Model = TypeVar("Model", bound=BaseModel)
# The longest text of a value in a message, in characters.
LONGEST = 100


def validate(
    cls: type[Model],
    value: object,
    where: str,
    extra: tuple[str, ...] = (),
    folder: Path | None = None,
) -> Model:
    """Validate a value of a config, and turn each of pydantic's errors into a line.

    Args:
        cls: The class of the value.
        value: The value in the YAML file.
        where: The file and the keys, for messages.
        extra: Keys that are allowed beside those of `cls`, for messages.
        folder: The folder that paths are relative to, for `components.vertex.cloud_storage.DataPath`.

    Raises:
        InputError: The value isn't of the class. There is a line for each error.
    """
    try:
        return cls.model_validate(value, context={"folder": folder} if folder else None)
    except ValidationError as error:
        # The search for similar names takes long, so that only lines that are printed have hints.
        problems = [_line(cls, item, where, extra, hint=i < MOST_PROBLEMS) for i, item in enumerate(error.errors())]
        raise InputError(*problems) from None


def validate_rest(
    cls: type[Model], value: dict[str, object], folder: Path, replacements: Mapping[str, object]
) -> Model | None:
    """Validate a value without its wrong keys, so that checks of the others can go on.

    Args:
        cls: The class of the value.
        value: The value in the YAML file.
        folder: The folder that paths are relative to.
        replacements: The values that take the place of wrong ones, by key.

    Returns:
        The value, or None where it isn't valid without them.
    """
    for _ in range(2):
        try:
            return cls.model_validate(value, context={"folder": folder})
        except ValidationError as error:
            wrong = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
            value = {key: item for key, item in value.items() if key not in wrong}
            value |= {key: item for key, item in replacements.items() if key in wrong}
    return None


def shorten(value: object, quoted: bool = True) -> str:
    """The text of a value for a message, in Python's notation where `quoted`, cut at LONGEST characters."""
    text = repr(value) if quoted else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _line(cls: type[BaseModel], error: ErrorDetails, where: str, extra: tuple[str, ...], hint: bool) -> str:
    path = ".".join(str(part) for part in error["loc"])
    at = f"{where}: {shorten(path, quoted=False)}" if path else where
    if error["type"] == "extra_forbidden":
        known = [*_fields_at(cls, error["loc"][:-1]), *extra] if hint else []
        similar = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        advice = f"; did you mean '{similar[0]}'?" if similar else f"; known are: {', '.join(known)}" if known else ""
        return f"{at}: unknown key{advice}"
    if error["type"] == "missing":
        return f"{at}: missing"
    return f"{at}: {shorten(error['input'])}: {_expected(error)}"


def _expected(error: ErrorDetails) -> str:
    """The expected value in words, from pydantic's message."""
    context = error.get("ctx", {})
    if error["type"] == "bool_type":
        return "expected true or false, a boolean"
    if error["type"] in ("too_short", "too_long"):
        bound = "min_length" if "min_length" in context else "max_length"
        limit = f"at {'least' if bound == 'min_length' else 'most'} {context[bound]}"
        return f"expected {limit} item{'s' * (context[bound] != 1)}, got {context['actual_length']}"
    message = str(error["msg"]).partition(" or instance of ")[0]
    return message.replace("Input should be", "expected").replace("String should match pattern", "expected text like")


def _fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The names of the fields of the class at the end of `loc`; an empty list where there are several such classes."""
    for part in loc:
        field = cls.model_fields.get(str(part))
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)] if field else []
        if len(kinds) != 1:
            return []
        cls = kinds[0]
    return list(cls.model_fields)


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
