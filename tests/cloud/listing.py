"""Answers of List methods: filtered (aip.dev/160, as far as the product writes it), the newest first, page by page."""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from errors import ApiError
from google.protobuf.json_format import MessageToDict

# Smaller than anybody asks for, which is Google's right (aip.dev/158): who reads one page alone is caught.
_PAGE = 1
_TERM = re.compile(r'([\w.-]+)([=:])("[^"]*"|[\w.*-]+|\("[^"]*"(?: OR "[^"]*")*\))')


def passes(text: str) -> Callable[[dict[str, Any]], bool]:
    """A filter of resources as JSON, with the names of the protocol's fields.

    Raises:
        ApiError: It can't be read.
    """
    # All terms have to hold; each is one of several of path, sign and value.
    terms = []
    for term in text.split(" AND ") if text else ():
        parts = term[1:-1].split(" OR ") if term.startswith("(") else [term]
        found = [_TERM.fullmatch(part) for part in parts]
        if not all(found):
            raise ApiError("INVALID_ARGUMENT", f"filter: '{text}' can't be read")
        terms.append([(one[1], one[2], v.strip('"')) for one in found for v in one[3].strip("()").split(" OR ")])
    return lambda resource: all([any([_fits(_at(resource, path), *rest) for path, *rest in term]) for term in terms])


def _at(resource: Any, path: str) -> Any:
    for part in path.split("."):
        resource = resource.get(part) or {}
    return resource or ""


def _fits(have: str, sign: str, want: str) -> bool:
    return bool(have) if (sign, want) == (":", "*") else have == want


def page(request: Any, answer: Any, items: Iterable[Any], order: str = "create_time") -> Any:
    """The answer with a page, and the token of the next one, which is empty on the last.

    Args:
        request: With any of filter, order_by, page_size, page_token and read_mask.
        answer: An empty answer, whose first field is for the resources.
        items: All resources below the parent.
        order: The time that they are ordered by.
    """
    text, order_by = getattr(request, "filter", ""), getattr(request, "order_by", "")
    if order_by not in ("", f"{order} desc"):
        raise ApiError("INVALID_ARGUMENT", f"order_by: '{order_by}', expected '{order} desc'")
    wanted, (field, *_) = passes(text), answer.DESCRIPTOR.fields
    if unknown := {term[1].split(".")[0] for term in _TERM.finditer(text)} - {*field.message_type.fields_by_name}:
        raise ApiError("INVALID_ARGUMENT", f"filter: '{text}' has unknown fields {unknown}")
    found = [item for item in items if wanted(MessageToDict(item, preserving_proto_field_name=True))]
    found.sort(key=lambda item: _time(item, order), reverse=True)
    if request.page_size < 0:
        raise ApiError("INVALID_ARGUMENT", f"page_size: {request.page_size} is negative")
    # A token is good for the question that it was given for, and goes on after what was shown.
    question = hashlib.sha256(text.encode()).hexdigest()[:8]
    asked, _, last = (request.page_token or f"{question}:").partition(":")
    if asked != question:
        raise ApiError("INVALID_ARGUMENT", f"page_token: '{request.page_token}' is not valid for this request")
    found = [item for item in found if not last or _time(item, order) < int(last)]
    shown = found[: min(request.page_size or _PAGE, _PAGE)]
    mask = getattr(request, "read_mask", None)
    if mask and not mask.IsValidForDescriptor(field.message_type):
        raise ApiError("INVALID_ARGUMENT", f"read_mask: {list(mask.paths)} are not all fields")
    for item in shown:
        part = getattr(answer, field.name).add()
        mask.MergeMessage(item, part) if mask and mask.paths else part.CopyFrom(item)
    if len(shown) < len(found):
        answer.next_page_token = f"{question}:{_time(shown[-1], order)}"
    return answer


def _time(item: Any, order: str) -> int:
    return int(getattr(item, order).ToMicroseconds())
