"""Words for messages and pages."""

import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 epoch", "2,245 test examples", "10 classes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question that ends a message about an unknown name; "" where no known one is like it."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean '{similar[0]}'?" if similar else ""


def some(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first names and the number of the others: "a, b and 3 more"."""
    more = len(names) - most
    return separator.join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def size(count: int) -> str:
    """A number of bytes, such as 3.2 MB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def now() -> str:
    """The time to the second, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
