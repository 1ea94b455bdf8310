"""The steps of the pipeline, and what they share."""

import os
import signal


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


# The first process of a container ignores a signal that it has no handler for. A step that has one sets its own.
if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _end)
