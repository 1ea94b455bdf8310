import signal
import subprocess
import sys
import time

import pytest

from pipeline.local.process import ROOT

# Starts an engine for which tasks are certain, gives it nothing to run, and waits.
STARTER = """
import sys, time
from pathlib import Path
from pipeline.local.process import Engine
engine = Engine(Path(sys.argv[1]), certain=True)
print(engine._process.pid, flush=True)
sys.stdin.readline()
engine.close()
"""


def group(leader):
    """Processes of a group that haven't ended."""
    rows = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    table = [line.split(maxsplit=2) for line in rows.splitlines()]
    return [row[2] for row in table if row[0] == leader and not row[1].startswith("Z")]


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_before_it_has_a_pipeline_it_gets_ready_and_ends_with_its_parent(tmp_path, end):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    leader = starter.stdout.readline().strip()
    until((tmp_path / "warm.sock").exists)
    assert any("warm.py" in command for command in group(leader))
    if end == "killed":
        starter.send_signal(signal.SIGKILL)
    else:
        starter.stdin.write("\n")
        starter.stdin.flush()
    starter.wait(timeout=30)
    until(lambda: not group(leader))
