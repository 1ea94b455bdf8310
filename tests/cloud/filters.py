"""Google's filter expressions (aip.dev/160), as far as the product writes them: AND, and OR in parentheses."""

import re
from collections.abc import Callable
from typing import Any

from errors import ApiError

# A field's value, or None where it is not set; raises KeyError where there can't be such a field.
Lookup = Callable[[list[str]], Any]
_TERM = re.compile(r'([\w.-]+)([=:])("[^"]*"|[\w.*-]+|\("[^"]*"(?: OR "[^"]*")*\))')


class Filter:
    """A filter expression; an empty one lets everything through.

    Raises:
        ApiError: It can't be read.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.terms = [self._term(term) for term in text.split(" AND ")] if text else []

    def _term(self, text: str) -> list[tuple[list[str], str, str]]:
        """What a term is one of: field, sign and value."""
        found = [_TERM.fullmatch(part) for part in (text[1:-1].split(" OR ") if text[:1] == "(" else [text])]
        if not all(found):
            raise ApiError("INVALID_ARGUMENT", f"filter: '{self.text}' can't be read")
        return [
            (one[1].split("."), one[2], value.strip('"')) for one in found for value in one[3].strip("()").split(" OR ")
        ]

    def matches(self, lookup: Lookup) -> bool:
        """Whether something passes."""
        try:
            return all([any([_fits(lookup(path), *rest) for path, *rest in term]) for term in self.terms])
        except KeyError as error:
            raise ApiError("INVALID_ARGUMENT", f"filter: '{self.text}' has an unknown field {error}") from None


def _fits(have: Any, sign: str, want: str) -> bool:
    if sign == ":" and want == "*":
        return have is not None and have != ""
    return want in (have or "") if sign == ":" else (have or "") == want
