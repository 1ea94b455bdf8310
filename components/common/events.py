"""What a task tells the local run that started it. Elsewhere nobody listens, and nothing is told.

A local run names a file in the variable `KERAS_PIPELINE_EVENTS`. The task adds a JSON object in a line of its own:

    {"progress": "epoch 3/10 …"}
    {"measuring": 1}   it is about to measure its speed, for the first time, and waits for the file `<events>.1`
    {"measuring": 0}   it has measured
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EVENTS = "KERAS_PIPELINE_EVENTS"
_POLL_SECONDS = 0.005
_measured = 0


def progress(text: str) -> None:
    """Print how far a task is, and tell it."""
    print(text, flush=True)
    _tell(progress=text)


@contextmanager
def measured_alone() -> Iterator[None]:
    """Wait until no other task of the local run computes, for the time of the `with` block."""
    global _measured
    _measured += 1
    answer = Path(f"{os.environ.get(EVENTS)}.{_measured}")
    _tell(measuring=_measured)
    try:
        while os.environ.get(EVENTS) and not answer.exists():
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        _tell(measuring=0)


def _tell(**event: object) -> None:
    if path := os.environ.get(EVENTS):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
