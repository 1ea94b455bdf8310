"""What a config holds, as pydantic's classes; errors are lines for people."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from components.common.errors import MOST_PROBLEMS, InputError

Model = TypeVar("Model", bound=BaseModel)
# Letters of a value in a message.
LONGEST = 100


def validated(
    cls: type[Model],
    value: Any,  # noqa: ANN401 (what YAML holds)
    where: str,
    extra: tuple[str, ...] = (),
    folder: Path | None = None,
) -> Model:
    """Validate, and turn each of pydantic's errors into a line.

    Args:
        cls: What it has to be.
        value: What YAML holds.
        where: File and keys, for messages.
        extra: Keys that stand beside those of `cls`.
        folder: That paths are relative to, see `components.vertex.cloud_storage.DataPath`.

    Raises:
        InputError: It isn't that.
    """
    try:
        return cls.model_validate(value, context={"folder": folder} if folder else None)
    except ValidationError as error:
        # Looking for names that are near takes its time, so only where they are shown.
        problems = [_line(cls, one, where, extra, hint=i < MOST_PROBLEMS) for i, one in enumerate(error.errors())]
        raise InputError(*problems) from None


def usable(cls: type[Model], value: dict[str, Any], folder: Path, otherwise: dict[str, Any]) -> Model | None:
    """What is left of a value without the keys that are wrong.

    Args:
        cls: What it has to be.
        value: What YAML holds.
        folder: That paths are relative to.
        otherwise: What takes the place of keys that can't be left out.

    Returns:
        None where it can't do without some of them.
    """
    for _ in range(2):
        try:
            return cls.model_validate(value, context={"folder": folder})
        except ValidationError as error:
            wrong = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
            value = {key: one for key, one in value.items() if key not in wrong}
            value |= {key: one for key, one in otherwise.items() if key in wrong}
    return None


def cut(value: Any, quoted: bool = True) -> str:  # noqa: ANN401 (what YAML holds)
    """A value as Python writes it, or a text as it is, but no longer than a line has room for."""
    text = repr(value) if quoted else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _line(cls: type[BaseModel], error: Any, where: str, extra: tuple[str, ...], hint: bool) -> str:  # noqa: ANN401
    path = ".".join(str(part) for part in error["loc"])
    at = f"{where}: {cut(path, quoted=False)}" if path else where
    if error["type"] == "extra_forbidden":
        known = [*_fields_at(cls, error["loc"][:-1]), *extra] if hint else []
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        advice = f"; did you mean '{near[0]}'?" if near else f"; known are: {', '.join(known)}" if known else ""
        return f"{at}: unknown key{advice}"
    if error["type"] == "missing":
        return f"{at}: missing"
    return f"{at}: {cut(error['input'])}: {_wanted(error)}"


def _wanted(error: Any) -> str:  # noqa: ANN401 (a dict of pydantic's)
    """What was expected, from pydantic's message."""
    context = error.get("ctx", {})
    if error["type"] == "bool_type":
        return "expected true or false, a boolean"
    if error["type"] in ("too_short", "too_long"):
        bound, few = (
            ("least", context.get("min_length")) if "min_length" in context else ("most", context["max_length"])
        )
        return f"expected at {bound} {few} item{'s' * (few != 1)}, got {context['actual_length']}"
    said = str(error["msg"]).partition(" or instance of ")[0]
    return said.replace("Input should be", "expected").replace("String should match pattern", "expected text like")


def _fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model at the end of `loc`; of `cls` itself where a union hides it."""
    for part in loc:
        field = cls.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        cls = field.annotation
    return list(cls.model_fields)
