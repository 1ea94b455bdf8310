"""The pipeline around the steps: typed experiments, the graph, compiling, and running it here."""

import os
import signal
import sys
from pathlib import Path

# Of the command line: who changes their mind while it is imported needs no traceback. `main` takes over.
_PROGRAMS = ("-m", "keras-pipeline")
if Path(sys.argv[0]).name in _PROGRAMS and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
