"""The folder that baseline writes.

baselines.json    for each baseline its metrics, those of the data set's task
"""

import json
from pathlib import Path

from components.common.files import write_json

_BASELINES = "baselines.json"

Baselines = dict[str, dict[str, float]]


def save_baselines(folder: Path, baselines: Baselines) -> None:
    """Write the metrics of all baselines."""
    write_json(folder / _BASELINES, baselines)


def load_baselines(folder: Path | str) -> Baselines:
    """Read the metrics of all baselines."""
    found: Baselines = json.loads((Path(folder) / _BASELINES).read_text(encoding="utf-8"))
    return found
