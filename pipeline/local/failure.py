"""What is said of a task that failed."""

import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from components.common.errors import InputError, error_in
from pipeline.local.damage import shown
from pipeline.local.publish import REPORT

# What isn't a mistake of this program.
_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ENOTDIR,
    errno.ELOOP,
}  # fmt: skip
LAST_LINES = 12
# Lines of TensorFlow's about this machine, which say nothing of the task.
_NOISE = re.compile(r"(\[KFP Executor|[WIE]0000 |WARNING: All log messages)")


class TaskFailedError(Exception):
    """A task failed; what there is to say was said."""


@dataclass(frozen=True)
class Failure:
    """How a task failed.

    Attributes:
        error: The name of the exception that it ended with, or what ended it.
        message: Of the exception.
    """

    error: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.error}: {self.message}" if self.message else self.error

    @property
    def refused(self) -> bool:
        """Whether the user can mend it."""
        return self.error.endswith(InputError.__name__)

    @property
    def full_disk(self) -> bool:
        """Whether the disk is full."""
        return os.strerror(errno.ENOSPC) in self.message


def failure(code: int, lines: Iterable[str]) -> Failure:
    """How a task failed.

    Args:
        code: Its exit code, negative where a signal ended it.
        lines: What it printed last.
    """
    # A container's exit code is 128 and the signal's number.
    if number := -code if code < 0 else code - 128 if code == 128 + signal.SIGKILL else 0:
        memory = ", as the kernel does when memory runs out" if number == signal.SIGKILL else ""
        return Failure(f"it was ended by {signal.Signals(number).name}{memory}")
    return Failure(*(error_in(lines) or (f"it ended with exit code {code}",)))


@contextmanager
def explained(home: Path, console: Console) -> Iterator[None]:
    """Say in a line that the disk is full, or what else keeps this process from writing or reading inside.

    Args:
        home: The experiment's folder.
        console: Where to.

    Raises:
        TaskFailedError: Something does.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        place = shown(Path(os.fsdecode(error.filename or home)))
        line = f"{place}: {error.strerror}; earlier results are as they were"
        console.print(line, style="bold red", markup=False, soft_wrap=True, highlight=False)
        raise TaskFailedError from None


def explain(failures: dict[str, Failure], run: Path, console: Console) -> NoReturn:
    """Say what failed, with the end of its log, and raise.

    Args:
        failures: By task.
        run: The run's folder.
        console: Where to.

    Raises:
        InputError: A task refused its input.
        TaskFailedError: Else.
    """
    if (run / REPORT).exists():
        console.print(f"report: {shown(run / REPORT)}", soft_wrap=True, highlight=False)
    if problems := [line for one in failures.values() if one.refused for line in one.message.splitlines()]:
        raise InputError(*problems)
    for task, one in failures.items():
        log = run / "logs" / f"{task}.log"
        console.print(f"\n{task} failed: {one}", style="bold red", markup=False, soft_wrap=True, highlight=False)
        if one.full_disk:
            continue
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        lines = [line for line in text.splitlines() if line and not _NOISE.match(line)]
        console.print("\n".join(lines[-LAST_LINES:]), style="dim", markup=False, soft_wrap=True, highlight=False)
        console.print(f"the whole log: {shown(log)}", markup=False, soft_wrap=True, highlight=False)
    raise TaskFailedError
