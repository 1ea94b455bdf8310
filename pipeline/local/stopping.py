"""How a local run is stopped, and how all its processes end."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Between asking the group of processes to end and ending it.
GRACE_SECONDS = 2.0


class Stopped(BaseException):
    """SIGINT (Ctrl-C) or SIGTERM came.

    Attributes:
        signal: Which of them.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` where SIGINT or SIGTERM comes meanwhile."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def end_group(engine: subprocess.Popen[str]) -> None:
    """End the engine and everything it started; what doesn't end by itself in time is killed.

    Where the engine is stopped in its work, a training has the time to save a checkpoint.
    """
    stopped = engine.poll() is None
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            os.killpg(engine.pid, number)
            engine.wait(GRACE_SECONDS)
            while stopped and number == signal.SIGTERM and time.monotonic() < deadline:
                os.killpg(engine.pid, 0)
                time.sleep(0.02)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
