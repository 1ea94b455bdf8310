"""Answers of List methods: filtered, the newest first, page by page."""

import hashlib
from collections.abc import Iterable
from typing import Any

from errors import ApiError, Found
from filters import Filter, Lookup
from google.protobuf.message import Message

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 1000


def page(request: Any, items: Iterable[Any], order: str = "create_time") -> tuple[list[Any], str]:
    """One page of resources.

    Args:
        request: With any of filter, order_by, page_size, page_token and read_mask.
        items: All resources below the parent.
        order: The time that they are ordered by.

    Returns:
        The page, and the token of the next one, which is empty on the last.
    """
    text, order_by = getattr(request, "filter", ""), getattr(request, "order_by", "")
    if order_by not in ("", f"{order} desc"):
        raise ApiError("INVALID_ARGUMENT", f"order_by: '{order_by}', expected '{order} desc'")
    wanted = Filter(text)
    found = [item for item in items if wanted.matches(lookup(item))]
    found.sort(key=lambda item: getattr(item, order).ToMicroseconds(), reverse=True)
    if request.page_size < 0:
        raise ApiError("INVALID_ARGUMENT", f"page_size: {request.page_size} is negative")
    # A token is good for the question that it was given for, and no other.
    question = hashlib.sha256(text.encode()).hexdigest()[:8]
    start = start_of(request.page_token, question)
    end = start + min(request.page_size or _DEFAULT_PAGE, _LARGEST_PAGE)
    shown = found[start:end]
    mask = getattr(request, "read_mask", None)
    if mask is not None and mask.paths:
        errors = Found()
        for path in mask.paths if shown else ():
            known = path in shown[0].DESCRIPTOR.fields_by_name
            errors.need(known, "read_mask", f"'{path}' is no field of {shown[0].DESCRIPTOR.name}")
        errors.done()
        whole, shown = shown, [type(item)() for item in shown]
        for item, part in zip(whole, shown, strict=True):
            mask.MergeMessage(item, part)
    return shown, token_of(question, end) if end < len(found) else ""


def token_of(question: str, start: int) -> str:
    """The token of a page that begins there."""
    return f"{question}:{start}"


def start_of(token: str, question: str) -> int:
    """Where the page of a token begins.

    Raises:
        ApiError: It was given for another question.
    """
    if not token:
        return 0
    asked, _, start = token.partition(":")
    if asked != question:
        raise ApiError("INVALID_ARGUMENT", f"page_token: '{token}' is not valid for this request")
    return int(start)


def lookup(message: Any) -> Lookup:
    """Reads fields of a message for a filter."""

    def read(path: list[str]) -> Any:
        value: Any = message
        for part in path:
            value = _field(value, part) if isinstance(value, Message) else value.get(part)
        return value

    return read


def _field(message: Any, name: str) -> Any:
    field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if field.is_repeated:
        return dict(value) if field.message_type is not None else list(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name if value else None
    return value
