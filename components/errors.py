"""Errors that are the user's to fix, and those that a process ended with."""

import re
from pathlib import Path

_ERROR = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\w*)(?:: (.*))?")


class InputError(Exception):
    """Bad input: a one-line message that names the file, the key or the row, what came and what was expected.

    Commands print the message without a traceback and exit with code 2.
    """


def last_error(log: Path) -> tuple[str, str]:
    """The name and message of the exception that a process ended with."""
    found = ("it ended without an error of its own (killed, or out of memory)", "")
    for line in log.read_text().splitlines() if log.exists() else []:
        if match := _ERROR.fullmatch(line):
            found = (match[1], match[2] or "")
    return found
