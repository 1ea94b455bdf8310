import signal
import subprocess
import sys
import time

import pytest
from processes import alive

from pipeline.local.process import ROOT

# Starts an engine that gets ready for tasks, gives it nothing to run, and waits.
STARTER = """
import sys
from pathlib import Path
from pipeline.local.process import Engine
engine = Engine(Path(sys.argv[1]), warm=True)
print(engine._process.pid, flush=True)
sys.stdin.readline()
engine.close()
"""


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
    session = starter.stdout.readline().strip()
    until((tmp_path / "warm.sock").exists)
    assert any("warm.py" in command for command in alive(session))
    if end == "killed":
        starter.send_signal(signal.SIGKILL)
    else:
        starter.stdin.write("\n")
        starter.stdin.flush()
    starter.wait(timeout=30)
    until(lambda: not alive(session))
