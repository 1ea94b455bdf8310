"""Validate values of a config with pydantic's classes, and turn errors into lines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from components.common.errors import MOST_PROBLEMS, InputError
from components.common.words import did_you_mean

Model = TypeVar("Model", bound=BaseModel)
# The longest text of a value in a message, in characters.
LONGEST = 100
# What is expected, by the type of pydantic's error.
WORDS = {
    "bool_type": "expected true or false, a boolean",
    "int_type": "expected an integer",
    "float_type": "expected a number",
    "greater_than_equal": "expected at least {ge:,.10g}",
    "greater_than": "expected a number above {gt:,.10g}",
    "less_than_equal": "expected at most {le:,.10g}",
    "less_than": "expected a number below {lt:,.10g}",
}


def validate(
    cls: type[Model],
    value: object,
    where: str,
    extra: tuple[str, ...] = (),
    folder: Path | None = None,
    elsewhere: Mapping[str, str] = {},
) -> Model:
    """Validate a value of a config, and turn each of pydantic's errors into a line.

    Args:
        cls: The class of the value.
        value: The value in the YAML file.
        where: The file and the keys, for messages.
        extra: Keys that are allowed beside those of `cls`, for messages.
        folder: The folder that paths are relative to, for `components.vertex.cloud_storage.DataPath`.
        elsewhere: Keys that belong to another place, each with a few words that say to which.

    Raises:
        InputError: The value isn't of the class. There is a line for each error.
    """
    try:
        return cls.model_validate(value, context={"folder": folder} if folder else None)
    except ValidationError as error:
        problems = []
        for i, item in enumerate(error.errors()):
            path = ".".join(map(str, item["loc"]))
            if path in elsewhere and item["type"] == "extra_forbidden":
                problem = f"is {elsewhere[path]}"
            elif item["type"] == "extra_forbidden":
                # The search for similar names takes long, so that only lines that are printed have hints.
                problem = "unknown key" + (_hint(cls, item["loc"], extra) if i < MOST_PROBLEMS else "")
            elif item["type"] == "missing":
                problem = "missing"
            else:
                problem = f"{shorten(item['input'])}: {_expected(cls, item)}"
            at = f"{where}: {shorten(path, quoted=False)}" if path else where
            problems.append(f"{at}: {problem}")
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


@contextmanager
def at(where: str) -> Iterator[None]:
    """Put the place in the config before the problems of an `InputError` that the `with` block raises."""
    try:
        yield
    except InputError as error:
        raise InputError(*(f"{where}: {problem}" for problem in error.problems)) from None


def shorten(value: object, quoted: bool = True) -> str:
    """The text of a value for a message, cut at LONGEST characters. Text is in quotes where `quoted`."""
    yaml = {None: "null", True: "true", False: "false"}
    text = yaml[value] if value is None or isinstance(value, bool) else repr(value) if quoted else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _hint(cls: type[BaseModel], loc: tuple[int | str, ...], extra: tuple[str, ...]) -> str:
    """The key that an unknown one could stand for, or else all that are known."""
    here = _class_at(cls, loc[:-1])
    known = [*here.model_fields, *extra] if here else []
    hint = did_you_mean(str(loc[-1]), known) or f"known are: {', '.join(known)}"
    return f"; {hint}" if known else ""


def _expected(cls: type[BaseModel], error: ErrorDetails) -> str:
    """The expected value in words, those of pydantic's message where there are no plainer ones."""
    context, value = error.get("ctx", {}), error["input"]
    if error["type"] in WORDS:
        return WORDS[error["type"]].format(**context)
    if error["type"] == "list_type":
        return "expected a list" + (f", such as [{value}]" if isinstance(value, str | int | float) else "")
    if error["type"] in ("model_type", "dict_type"):
        wanted = _class_at(cls, error["loc"])
        return f"expected keys with values, such as {{{next(iter(wanted.model_fields)) if wanted else 'name'}: …}}"
    if error["type"] in ("too_short", "too_long"):
        bound = "min_length" if "min_length" in context else "max_length"
        limit = f"at {'least' if bound == 'min_length' else 'most'} {context[bound]}"
        return f"expected {limit} item{'s' * (context[bound] != 1)}, got {context['actual_length']}"
    if error["type"] == "string_pattern_mismatch" and (here := _class_at(cls, error["loc"][:-1])):
        field = here.model_fields.get(str(error["loc"][-1]))
        if field and field.examples:
            return f"expected text such as {field.examples[0]}"
    message = str(error["msg"]).partition(" or instance of ")[0]
    return message.replace("Input should be", "expected").replace("String should match pattern", "expected text like")


def _class_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The class of the value at `loc`; None where there are several, or where it is no class of keys."""
    for part in loc:
        field = cls.model_fields.get(str(part))
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)] if field else []
        if len(kinds) != 1:
            return None
        cls = kinds[0]
    return cls


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
