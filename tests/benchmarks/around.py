"""Wall time of shipped experiments over their training; an unchanged rerun."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT


def around(configs: tuple[str, ...] = ("quick", "families")) -> dict[str, Any]:
    """Run each experiment from nothing, and again, in a folder of its own."""
    found = {}
    for config in configs:
        with tempfile.TemporaryDirectory() as folder:
            first, lines = run(config, Path(folder))
            board = json.loads((Path(folder) / f"runs/{config}/latest/leaderboard.json").read_text())
            again, lines_again = run(config, Path(folder))
            trained = sum(model["train_seconds"] for model in board["models"])
            found[config] = {
                "wall_s": first,
                "training_s": trained,
                "ratio": first / trained,
                "lines": lines,
                "rerun_s": again,
                "rerun_lines": lines_again,
            }
    return found


def run(config: str, folder: Path) -> tuple[float, int]:
    """Seconds and lines of output of a run."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", str(ROOT / f"configs/{config}.yaml")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return time.perf_counter() - start, len(done.stdout.splitlines())
