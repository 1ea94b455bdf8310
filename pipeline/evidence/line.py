"""A line of an audit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """What an audit found of one thing.

    Attributes:
        what: The thing, such as "metrics".
        holds: Whether it holds; None where nobody asked for it, as for a signature.
        found: What was found, for people.
    """

    what: str
    holds: bool | None
    found: str
