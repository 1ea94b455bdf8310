"""Runs that are killed, asked to end or damaged end with what an undisturbed one ends with."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["0", "0.9"])
def test_whole_runs_survive_disturbances(damaged):
    command = [sys.executable, "tests/benchmarks/torture_runs.py", "--rounds", "4", "--seed", "1", "--damaged", damaged]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d* disturbances \(.*\), 0 of 4 rounds wrong", done.stdout.splitlines()[-1])
