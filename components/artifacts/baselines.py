"""The folder that baseline writes.

baselines.json    the metrics of each baseline
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
    baselines: Baselines = json.loads((Path(folder) / _BASELINES).read_text(encoding="utf-8"))
    return baselines
