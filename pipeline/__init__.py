"""The pipeline around the steps: typed experiments, the graph, compiling, and running it here.

`from pipeline import run, load, compare` runs experiments from Python, see `pipeline.api`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

# Ctrl-C during the imports of the command line ends it without a traceback. `main` sets its own handler later.
_PROGRAMS = ("-m", "keras-pipeline")
if Path(sys.argv[0]).name in _PROGRAMS and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))


def __getattr__(name: str) -> Any:  # noqa: ANN401 (one of the functions, imported when it is asked for)
    if name not in ("run", "load", "compare"):
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    from pipeline import api

    return getattr(api, name)
