"""Answers of List methods: filtered, in order, page by page."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC
from typing import Any

from errors import ApiError, Found
from filters import Filter, Lookup
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from messages import keep

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 1000


def page(
    request: Any,
    items: Iterable[Any],
    order: str = "create_time desc",
    functions: dict[str, Callable[[Lookup, str], bool]] | None = None,
) -> tuple[list[Any], str]:
    """One page of resources.

    Args:
        request: With any of filter, order_by, page_size, page_token and read_mask.
        items: All resources below the parent.
        order: Where the request names none.
        functions: That the filter may call.

    Returns:
        The page, and the token of the next one, which is empty on the last.
    """
    text = getattr(request, "filter", "")
    wanted = Filter(text, functions)
    found = [item for item in items if wanted.matches(lookup(item))]
    order = getattr(request, "order_by", "") or order
    for key in reversed([part.split() for part in order.split(",") if part.strip()]):
        _order(found, key, order)
    size = request.page_size
    if size < 0:
        raise ApiError("INVALID_ARGUMENT", f"page_size: {size} is negative")
    size = min(size or _DEFAULT_PAGE, _LARGEST_PAGE)
    # A token is good for the question that it was given for, and no other.
    question = hashlib.sha256(f"{text}\n{order}".encode()).hexdigest()[:8]
    start = _start(request.page_token, question)
    shown = found[start : start + size]
    token = base64.urlsafe_b64encode(f"{question}:{start + size}".encode()).decode()
    mask = getattr(request, "read_mask", None)
    if mask is not None and mask.paths:
        _check_mask(mask.paths, shown)
        shown = [keep(item, mask.paths) for item in shown]
    return shown, token if start + size < len(found) else ""


def _check_mask(paths: Iterable[str], items: list[Any]) -> None:
    found = Found()
    for path in paths if items else ():
        known = path.split(".")[0] in items[0].DESCRIPTOR.fields_by_name
        found.need(known or path == "*", "read_mask", f"'{path}' is no field of {items[0].DESCRIPTOR.name}")
    found.done()


def _start(token: str, question: str) -> int:
    if not token:
        return 0
    try:
        asked, _, start = base64.urlsafe_b64decode(token).decode().partition(":")
        if asked == question:
            return int(start)
    except ValueError:
        pass
    raise ApiError("INVALID_ARGUMENT", f"page_token: '{token}' is not valid for this request")


def _order(found: list[Any], key: list[str], order: str) -> None:
    def value(item: Any) -> Any:
        try:
            got = lookup(item)([snake(part) for part in key[0].split(".")])
        except KeyError:
            raise ApiError("INVALID_ARGUMENT", f"order_by: '{order}' has an unknown field {key[0]}") from None
        return (got is not None, got)

    if len(key) > 2 or (len(key) == 2 and key[1].lower() not in ("asc", "desc")):
        raise ApiError("INVALID_ARGUMENT", f"order_by: '{order}' can't be read")
    found.sort(key=value, reverse=len(key) == 2 and key[1].lower() == "desc")


def snake(name: str) -> str:
    """A field's name in the protocol; Google takes displayName as well."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", name)


def lookup(message: Any) -> Lookup:
    """Reads fields of a message for a filter."""

    def read(path: list[str]) -> Any:
        value: Any = message
        for number, part in enumerate(path):
            if isinstance(value, dict):
                if part in ("number_value", "string_value", "bool_value") and number:
                    continue
                value = value.get(part)
            elif isinstance(value, Message):
                value = _field(value, snake(part))
            elif part not in ("number_value", "string_value", "bool_value"):
                value = None
        return value

    return read


def _field(message: Any, name: str) -> Any:
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.is_repeated:
        return (
            dict(value) if field.message_type is not None and field.message_type.GetOptions().map_entry else list(value)
        )
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name if value else None
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC) if message.HasField(name) else None
    if isinstance(value, Struct):
        return MessageToDict(value)
    return value
