"""Words for messages and pages."""

from datetime import UTC, datetime


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 epoch", "2,245 test examples", "10 classes"."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def now() -> str:
    """The time to the second, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
