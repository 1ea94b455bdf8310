"""What kfp.local's output says of the run. kfp has no hook for it, so its lines are read (kfp 2.17.0)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"[\d:.]+ - INFO - Executing task '([^']+)'")
_FINISHED = re.compile(r"[\d:.]+ - \w+ - Task '([^']+)' finished with status (SUCCESS|FAILURE)")
_CACHED = re.compile(r"INFO - Task (\S+) cache hit ")
# kfp indents what a task prints.
_INDENT = "    "


@dataclass(frozen=True)
class Event:
    """Something that happened to a task.

    Attributes:
        kind: "started", "cached", "done", "failed", or "line": the task printed something.
        task: Its name.
        text: What it printed.
    """

    kind: Literal["started", "cached", "done", "failed", "line"]
    task: str
    text: str = ""


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Read kfp.local's output.

    Args:
        lines: As they come.

    Yields:
        What they say.
    """
    task = ""
    for line in lines:
        text = _COLOR.sub("", line.rstrip("\n"))
        if match := _STARTED.match(text):
            task = match[1]
            yield Event("started", task)
        elif match := _CACHED.match(text):
            yield Event("cached", match[1])
        elif match := _FINISHED.match(text):
            task = ""
            yield Event("done" if match[2] == "SUCCESS" else "failed", match[1])
        elif task and text.startswith(_INDENT):
            yield Event("line", task, text.removeprefix(_INDENT))
