"""The server's own life."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from client import Cloud


def test_it_ends_when_told_and_with_its_parent(tmp_path):
    server = Cloud(tmp_path / "first")
    assert (tmp_path / "first" / "service-account.json").stat().st_mode & 0o077 == 0
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from client import Cloud\n"
        "print(Cloud(Path(sys.argv[2])).process.pid)"
    )
    here = str(Path(__file__).parent)
    started = subprocess.run(
        [sys.executable, "-c", code, here, str(tmp_path / "second")], capture_output=True, text=True, check=True
    )
    pid = int(started.stdout)
    for _ in range(250):
        # A process whose parent is gone is another's child; that one may not have waited for it yet.
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text(encoding="utf-8"):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("it outlived its parent")
