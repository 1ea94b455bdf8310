"""The lock of an experiment, which each run of it holds."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.common.errors import InputError

FILE = ".lock"


@contextmanager
def held(home: Path, problem: str, by_run: bool = True) -> Iterator[None]:
    """Hold the lock.

    Args:
        home: The experiment's folder.
        problem: What is said where another process holds it.
        by_run: Whether `under_way` counts this process as a run. No run can take the lock in either case.

    Raises:
        InputError: Another process holds it, or the folder can't be written to.
    """
    try:
        lock = (home / FILE).open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{os.path.relpath(home / FILE)}: can't be written to: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not by_run:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise InputError(problem) from None
        yield


def under_way(home: Path) -> bool:
    """Whether a run of the experiment holds its lock."""
    try:
        with (home / FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
