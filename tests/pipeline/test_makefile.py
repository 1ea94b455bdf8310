import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("command", ["compile", "run-local", "run-containers", "verify", "submit", "bench", "torture"])
def test_what_a_command_is_asked_for_reaches_it(command):
    make = ["make", "--no-print-directory", "-n", command, "ARGS=--set seed=3"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1].endswith(" --set seed=3")
