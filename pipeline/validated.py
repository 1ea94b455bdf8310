"""What a config holds, as pydantic's classes; errors are one line for people."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from components.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def validated(cls: type[Model], value: Any, where: str, extra: tuple[str, ...] = ()) -> Model:  # noqa: ANN401
    """Validate, and turn the first of pydantic's errors into one line.

    Args:
        cls: What it has to be.
        value: What YAML holds.
        where: File and keys, for messages.
        extra: Keys that stand beside those of `cls`.

    Raises:
        InputError: It isn't that.
    """
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        at = f"{where}: {path}" if path else where
        if first["type"] == "extra_forbidden":
            known = [*_fields_at(cls, first["loc"][:-1]), *extra]
            near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(known)}"
            raise InputError(f"{at}: unknown key; {hint}") from None
        if first["type"] == "missing":
            raise InputError(f"{at}: missing") from None
        wanted = first["msg"].replace("Input should be", "expected")
        raise InputError(f"{at}: {first['input']!r}: {wanted}") from None


def _fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model at the end of `loc`; of `cls` itself where a union hides it."""
    for part in loc:
        field = cls.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        cls = field.annotation
    return list(cls.model_fields)
