"""What is said of a task that failed."""

import os
import re
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from components.errors import InputError
from pipeline.local.publish import REPORT

LAST_LINES = 12
# Lines of TensorFlow's about this machine, which say nothing of the task.
_NOISE = re.compile(r"(\[KFP Executor|[WIE]0000 |WARNING: All log messages)")


class TaskFailedError(Exception):
    """A task failed; what there is to say was said."""


def explain(failures: dict[str, str], refused: str, run: Path, console: Console) -> NoReturn:
    """Say what failed, with the end of its log, and raise.

    Args:
        failures: For each failed task, its error.
        refused: The message of a task that refused its input; "" where none did.
        run: The run's folder.
        console: Where to.

    Raises:
        InputError: A task refused its input.
        TaskFailedError: Else.
    """
    if (run / REPORT).exists():
        console.print(f"report: {shown(run / REPORT)}", soft_wrap=True, highlight=False)
    if refused:
        raise InputError(refused)
    for task, error in failures.items():
        log = run / "logs" / f"{task}.log"
        console.print(f"\n{task} failed: {error}", style="bold red", markup=False, soft_wrap=True, highlight=False)
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        lines = [line for line in text.splitlines() if line and not _NOISE.match(line)]
        console.print("\n".join(lines[-LAST_LINES:]), style="dim", markup=False, soft_wrap=True, highlight=False)
        console.print(f"the whole log: {shown(log)}", markup=False, soft_wrap=True, highlight=False)
    if not failures:
        console.print(f"kfp failed; its output: {shown(run / 'logs' / 'kfp.log')}", soft_wrap=True)
    raise TaskFailedError


def shown(path: Path) -> str:
    """A path as a person types it here."""
    return os.path.relpath(path)
