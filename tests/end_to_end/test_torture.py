"""Runs that are killed, asked to end or damaged end with what an undisturbed one ends with."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_whole_runs_survive_disturbances():
    command = [sys.executable, "tests/benchmarks/torture_runs.py", "--rounds", "5", "--seed", "1", "--damaged", "0.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d* disturbances \(.*'damaged': .*\), 0 of 5 rounds wrong", done.stdout.splitlines()[-1])
