"""How a run ends before its end: the failures of tasks with their messages, and the signals that stop it."""

import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from components.common.errors import InputError, error_in
from pipeline.runs import REPORT

# Errors of the disk, which aren't mistakes of this program.
_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ENOTDIR,
    errno.ELOOP,
}  # fmt: skip
LAST_LINES = 12
KILLED = "it was ended by SIGKILL, as the kernel does when memory runs out"
# Lines that KFP and TensorFlow print in every task.
_NOISE = re.compile(r"(\[KFP Executor|[WIE]0000 |WARNING: All log messages)")
# A frame of a step's code, which isn't a user's family or source.
_STEP = re.compile(r"/components/(?!families/|sources/)")


class TaskFailedError(Exception):
    """A task failed. The message was printed, with the end of its log."""


class Stopped(BaseException):
    """SIGINT (Ctrl-C), SIGTERM or SIGHUP came.

    Attributes:
        signal: The signal that came.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@dataclass(frozen=True)
class Failure:
    """The failure of a task.

    Attributes:
        error: The name of the exception that ended the task, or a sentence on what else ended it.
        message: The exception's message.
    """

    error: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.error}: {self.message}" if self.message else self.error

    @property
    def refused(self) -> bool:
        """Whether the task refused its input, so that the user can correct it."""
        return self.error.endswith(InputError.__name__)

    @property
    def full_disk(self) -> bool:
        """Whether the task failed because the disk is full."""
        return os.strerror(errno.ENOSPC) in self.message


def failure(code: int, lines: Iterable[str]) -> Failure:
    """The failure of a task, from its exit code (negative after a signal) and the last lines that it printed."""
    # The exit code of a container that a signal ended is 128 plus the signal's number.
    if number := -code if code < 0 else code - 128 if code == 128 + signal.SIGKILL else 0:
        return Failure(KILLED if number == signal.SIGKILL else f"it was ended by {signal.Signals(number).name}")
    return Failure(*(error_in(lines) or (f"it ended with exit code {code}",)))


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` when a signal comes inside the `with` block: SIGINT, SIGTERM, or SIGHUP without nohup."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
        numbers.append(signal.SIGHUP)
    old = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def explained(home: Path, console: Console) -> Iterator[None]:
    """Print a line instead of a traceback where the disk is full, or a file can't be written or read.

    Raises:
        TaskFailedError: The disk is full, or a file can't be written or read.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        place = os.path.relpath(os.fsdecode(error.filename or home))
        line = f"{place}: {error.strerror}; earlier results are as they were"
        console.out(line, style="bold red", highlight=False)
        raise TaskFailedError(line) from None


def explain(failures: dict[str, Failure], run: Path, console: Console) -> NoReturn:
    """Print each failure with the end of the task's log, and raise an error.

    Raises:
        InputError: A task refused its input.
        TaskFailedError: No task refused its input.
    """

    def say(text: str, style: str = "") -> None:
        console.out(text, style=style, highlight=False)

    if (run / REPORT).exists():
        say(f"report: {os.path.relpath(run / REPORT)}")
    if problems := [line for each in failures.values() if each.refused for line in each.message.splitlines()]:
        raise InputError(*problems)
    for task, problem in failures.items():
        say(f"\n{task} failed: {problem}", "bold red")
        if not problem.full_disk:
            log = run / "logs" / f"{task}.log"
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            lines = [line for line in text.splitlines() if line and not _NOISE.match(line)]
            # The traceback of a step's own RuntimeError tells no more than its message.
            raised = [line for line in lines if line.startswith('  File "')][-1:]
            if problem.error != RuntimeError.__name__ or not any(_STEP.search(line) for line in raised):
                say("\n".join(lines[-LAST_LINES:]), "dim")
            say(f"the whole log: {os.path.relpath(log)}")
    raise TaskFailedError("; ".join(f"{task} failed: {problem}" for task, problem in failures.items()))
