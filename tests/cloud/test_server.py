"""The server's own life."""

import subprocess
import sys
import time
from pathlib import Path

from client import Cloud

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from client import Cloud
print(Cloud(Path(sys.argv[2])).process.pid)
"""


def test_it_ends_when_told_and_with_its_parent(tmp_path):
    server = Cloud(tmp_path / "first")
    assert (tmp_path / "first" / "service-account.json").stat().st_mode & 0o077 == 0
    server.stop()
    assert server.process.returncode == 0
    command = [sys.executable, "-c", CODE, str(Path(__file__).parent), str(tmp_path / "second")]
    pid = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    # A process whose parent is gone is another's child; that one may not have waited for it yet.
    status, until = Path("/proc", pid, "status"), time.monotonic() + 30
    while status.exists() and "State:\tZ" not in status.read_text(encoding="utf-8"):
        assert time.monotonic() < until, f"{pid} outlived its parent"
        time.sleep(0.02)
