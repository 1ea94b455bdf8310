"""A trial on the search's own machine: `python -m components.train JSON`, which ends when the search does.

When the search ends in any way, the standard input of this process closes. Then the training gets SIGTERM, saves a
checkpoint and ends.
"""

import os
import runpy
import signal
import threading


def _end_with_search() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_search, daemon=True).start()
    runpy.run_module("components.train", run_name="__main__", alter_sys=True)
