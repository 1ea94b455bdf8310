"""Google's filter expressions (aip.dev/160), as far as the product writes them: AND, OR, = and : of fields."""

import re
from collections.abc import Callable
from typing import Any

from errors import ApiError

# A field's value, or None where it is not set; raises KeyError where there can't be such a field.
Lookup = Callable[[list[str]], Any]
Test = Callable[[Lookup], bool]
_TOKEN = re.compile(r'"[^"]*"|[()=:]|[^\s()=:"]+')


class Filter:
    """A filter expression; an empty one lets everything through.

    Raises:
        ApiError: It can't be read.
    """

    def __init__(self, text: str) -> None:
        self.text, self.tokens = text, [*_TOKEN.findall(text), ""]
        self.test: Test = self._joined("AND", all, self._any) if text.strip() else lambda lookup: True
        if self.tokens not in ([""], ["", ""]):
            raise self._wrong()

    def matches(self, lookup: Lookup) -> bool:
        """Whether something passes."""
        try:
            return self.test(lookup)
        except KeyError as error:
            raise ApiError("INVALID_ARGUMENT", f"filter: '{self.text}' has an unknown field {error}") from None

    def _wrong(self) -> ApiError:
        return ApiError("INVALID_ARGUMENT", f"filter: '{self.text}' can't be read")

    def _take(self, *expected: str) -> str:
        token = self.tokens.pop(0)
        if not token or (expected and token not in expected):
            raise self._wrong()
        return token

    def _joined(self, word: str, how: Callable[[Any], bool], part: Callable[[], Test]) -> Test:
        tests = [part()]
        while self.tokens[0] == word:
            self._take()
            tests.append(part())
        return lambda lookup: how([test(lookup) for test in tests])

    def _any(self) -> Test:
        return self._joined("OR", any, self._term)

    def _term(self) -> Test:
        field = self._take()
        if field == "(":
            inside = self._joined("AND", all, self._any)
            self._take(")")
            return inside
        sign, values = self._take("=", ":"), [self._take()]
        if values == ["("]:
            values = [self._take()]
            while self._take("OR", ")") == "OR":
                values.append(self._take())
        path, wanted = field.split("."), [value.strip('"') for value in values]
        return lambda lookup: any(_fits(lookup(path), sign, value) for value in wanted)


def _fits(have: Any, sign: str, want: str) -> bool:
    if sign == ":" and want == "*":
        return have is not None and have != ""
    if sign == ":":
        return want in (have or "")
    return (have or "") == want
