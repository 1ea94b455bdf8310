"""Show the results of the last run."""

import os
import sys
import webbrowser
from pathlib import Path

from components.common.errors import InputError
from pipeline.local.publish import LATEST, REPORT
from pipeline.local.run import RUNS


def show_report(config: Path) -> None:
    """Open the report in a browser, where there is a display, and print where it is.

    Args:
        config: The experiment's file.

    Raises:
        InputError: There is none.
    """
    path = RUNS / config.stem / LATEST / REPORT
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a finished run: python -m pipeline run {config}")
    print(path)
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(path.absolute().as_uri())
