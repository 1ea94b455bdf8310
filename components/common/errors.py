"""Errors that a user can correct, and the errors that a process ended with."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# The most problems that a command prints, and the most characters of each.
MOST_PROBLEMS = 20
MOST_LETTERS = 1000
_ERROR = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\w*)(?:: (.*))?")


class InputError(Exception):
    """Wrong input, which the user can correct.

    Each problem is one line. It names the file, the key or the row, what came and what was expected. Commands print
    the lines without a traceback and exit with code 2.

    Args:
        *problems: The lines, with all problems that could be found at once.

    Attributes:
        problems: The lines.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def lines(self) -> list[str]:
        """The lines that a command prints: the first `MOST_PROBLEMS`, and the number of the others."""
        more = len(self.problems) - MOST_PROBLEMS
        lines = [p if len(p) <= MOST_LETTERS else f"{p[:MOST_LETTERS]}…" for p in self.problems[:MOST_PROBLEMS]]
        return [*lines, *[f"and {more:,} more"] * (more > 0)]


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the problems of an `InputError` that the `with` block raises to a list, and go on after the block."""
    try:
        yield
    except InputError as error:
        problems.extend(error.problems)


def one_line(error: Exception) -> str:
    """The message of an error in one line, or the error's name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def last_error(log: Path) -> tuple[str, str]:
    """The name and message of the exception that a process ended with."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return error_in(lines) or ("it ended without an error of its own (killed, or out of memory)", "")


def error_in(lines: Iterable[str]) -> tuple[str, str] | None:
    """The name and message of the last exception in the output of a process; None where there is none.

    The message of an `InputError` has a line for each problem.
    """
    last = None
    for line in lines:
        if match := _ERROR.fullmatch(line):
            last = (match[1], match[2] or "")
        elif last and last[0].endswith(InputError.__name__) and line.strip():
            last = (last[0], f"{last[1]}\n{line}")
    return last
