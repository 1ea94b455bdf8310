"""Errors that are the user's to fix, and those that a process ended with."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Of bad input, that a command prints, and letters of each.
MOST_PROBLEMS = 20
MOST_LETTERS = 1000
_ERROR = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\w*)(?:: (.*))?")


class InputError(Exception):
    """Bad input, which the user can mend.

    Each problem is one line. It names the file, the key or the row, what came and what was expected. Commands print
    the lines without a traceback and exit with code 2.

    Args:
        *problems: The lines, all that could be found at once.

    Attributes:
        problems: The same.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def lines(self) -> list[str]:
        """The problems as a command prints them: the first `MOST_PROBLEMS`, and how many more there are."""
        more = len(self.problems) - MOST_PROBLEMS
        lines = [p if len(p) <= MOST_LETTERS else f"{p[:MOST_LETTERS]}…" for p in self.problems[:MOST_PROBLEMS]]
        return [*lines, *[f"and {more:,} more"] * (more > 0)]


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the problems of an `InputError` that is raised inside to a list, and go on after the block."""
    try:
        yield
    except InputError as error:
        problems.extend(error.problems)


def last_error(log: Path) -> tuple[str, str]:
    """The name and message of the exception that a process ended with."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return error_in(lines) or ("it ended without an error of its own (killed, or out of memory)", "")


def error_in(lines: Iterable[str]) -> tuple[str, str] | None:
    """The name and message of the last exception that a process printed, if it printed one.

    The problems of an `InputError` are the lines of its message.
    """
    found = None
    for line in lines:
        if match := _ERROR.fullmatch(line):
            found = (match[1], match[2] or "")
        elif found and found[0].endswith(InputError.__name__) and line.strip():
            found = (found[0], f"{found[1]}\n{line}")
    return found
