"""The command that shows the results of the last run."""

import os
import sys
import webbrowser
from pathlib import Path

from components.common.errors import InputError
from pipeline.runs import LATEST, REPORT, RUNS


def show_report(config: Path) -> None:
    """Print the path of the last run's report, and open it in a browser where there is a display.

    Args:
        config: The experiment's file.

    Raises:
        InputError: The experiment has no finished run.
    """
    path = RUNS / config.stem / LATEST / REPORT
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a finished run: python -m pipeline run {config}")
    print(path)
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(path.absolute().as_uri())
