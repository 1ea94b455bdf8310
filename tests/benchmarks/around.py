"""Wall time of shipped experiments over their training; an unchanged rerun."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import FOLDER, ROOT


def around(configs: tuple[str, ...] = ("quick", "families")) -> dict[str, Any]:
    """Run each experiment from nothing, and again, in a folder of its own that stays to be looked at."""
    found = {}
    for config in configs:
        folder = (FOLDER / "around" / config).absolute()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        first, lines = run(config, folder)
        board = json.loads((folder / f"runs/{config}/latest/leaderboard.json").read_text())
        again, lines_again = run(config, folder)
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
    seconds = time.perf_counter() - start
    with (folder / "output.txt").open("a") as output:
        output.write(done.stdout)
    if done.returncode:
        raise SystemExit(done.stdout)
    return seconds, len(done.stdout.splitlines())
