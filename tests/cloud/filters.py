"""Google's filter expressions (aip.dev/160), as far as lists and Cloud Logging are asked with them."""

import fnmatch
import operator
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from errors import ApiError

# A field's value, or None where it is not set; raises KeyError where there can't be such a field.
Lookup = Callable[[list[str]], Any]
Test = Callable[[Lookup], bool]
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\'[^\']*\'|[()]|>=|<=|!=|[=:<>]|[^\s()=:<>!"\']+)')
_ORDER = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."]+)')


class Filter:
    """A filter expression.

    Args:
        text: The expression; an empty one lets everything through.
        functions: What `name("argument")` means, such as in_context.

    Raises:
        ApiError: It can't be read.
    """

    def __init__(self, text: str, functions: dict[str, Callable[[Lookup, str], bool]] | None = None) -> None:
        self.text, self.functions = text, functions or {}
        self.tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if not match:
                raise self._wrong()
            self.tokens.append(match[1])
            at = match.end()
        self.test: Test = self._all() if self.tokens else lambda lookup: True
        if self.tokens:
            raise self._wrong()

    def matches(self, lookup: Lookup) -> bool:
        """Whether something passes."""
        try:
            return self.test(lookup)
        except KeyError as error:
            raise ApiError("INVALID_ARGUMENT", f"filter: '{self.text}' has an unknown field {error}") from None

    def _wrong(self) -> ApiError:
        return ApiError("INVALID_ARGUMENT", f"filter: '{self.text}' can't be read")

    def _next(self) -> str:
        if not self.tokens:
            raise self._wrong()
        return self.tokens.pop(0)

    def _all(self) -> Test:
        tests = [self._any()]
        while self.tokens and self.tokens[0] != ")":
            if self.tokens[0] == "AND":
                self._next()
            tests.append(self._any())
        return lambda lookup: all([test(lookup) for test in tests])

    def _any(self) -> Test:
        tests = [self._term()]
        while self.tokens and self.tokens[0] == "OR":
            self._next()
            tests.append(self._term())
        return lambda lookup: any([test(lookup) for test in tests])

    def _term(self) -> Test:
        if self.tokens and self.tokens[0] == "NOT":
            self._next()
            inner = self._term()
            return lambda lookup: not inner(lookup)
        if self.tokens and self.tokens[0] == "(":
            self._next()
            inside = self._all()
            if self._next() != ")":
                raise self._wrong()
            return inside
        return self._comparison()

    def _comparison(self) -> Test:
        field = self._next()
        while field.endswith(".") or (self.tokens and self.tokens[0].startswith(".")):
            field += self._next()
        if self.tokens and self.tokens[0] == "(" and field in self.functions:
            self._next()
            call, argument = self.functions[field], _unquoted(self._next())
            if self._next() != ")":
                raise self._wrong()
            return lambda lookup: call(lookup, argument)
        sign = self._next()
        if sign not in ("=", "!=", ":", *_ORDER):
            raise self._wrong()
        values = [_unquoted(token) for token in self._values()]
        path = [_unescaped(quoted) if quoted else plain for quoted, plain in _FIELD.findall(field)]
        return lambda lookup: any(_compare(lookup(path), sign, value) for value in values)

    def _values(self) -> list[str]:
        first = self._next()
        if first != "(":
            return [first]
        values = [self._next()]
        while (following := self._next()) == "OR":
            values.append(self._next())
        if following != ")":
            raise self._wrong()
        return values


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _unquoted(token: str) -> str:
    return _unescaped(token[1:-1]) if token[:1] in ('"', "'") else token


def _compare(have: Any, sign: str, want: str) -> bool:
    if sign == ":":
        if want == "*":
            return have is not None and have != ""
        if isinstance(have, dict | list | set):
            return want in have
        text = str(have or "").lower()
        return fnmatch.fnmatchcase(text, want.lower()) if "*" in want else want.lower() in text
    if sign in ("=", "!="):
        return _same(have, want) == (sign == "=")
    if have is None:
        return False
    try:
        if isinstance(have, datetime):
            return _ORDER[sign](have, datetime.fromisoformat(want))
        if isinstance(have, int | float):
            return _ORDER[sign](have, float(want))
        return _ORDER[sign](str(have), want)
    except (ValueError, TypeError):
        raise ApiError("INVALID_ARGUMENT", f"filter: '{want}' can't be compared") from None


def _same(have: Any, want: str) -> bool:
    if isinstance(have, bool):
        return want.lower() == str(have).lower()
    if isinstance(have, datetime):
        return have == datetime.fromisoformat(want)
    if isinstance(have, int | float):
        return bool(re.fullmatch(r"-?[\d.]+", want)) and have == float(want)
    return (str(have) if have is not None else "") == want
