"""What stands first on the PATH of kfp.local's tasks as `python3`: it hands a task to the server of `warm`.

Every task starts with it, so that it imports little, and finds no packages. Where the server isn't to be had, or
something else than a module is asked for, the real Python runs it.
"""

import json
import os
import socket
import struct
import sys
import time

TYPE_CHECKING = False  # typing, which has it, would take a third of what the above takes
if TYPE_CHECKING:
    from subprocess import Popen

SOCKET = "KERAS_PIPELINE_WARM"
_START_SECONDS = 10


def run_task(arguments: list[str]) -> None:
    """Let the server run a task with this process' streams, folder and environment; end as the task ends."""
    connection = _connect() if arguments[0] == "-m" else None
    if connection is None:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 (the real Python)
    task = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    socket.send_fds(connection, [struct.pack("<I", len(task))], [0, 1, 2])
    connection.sendall(task)
    status = connection.recv(4)
    # Without an answer the server is gone, and its task with it.
    raise SystemExit(struct.unpack("<i", status)[0] if len(status) == 4 else 1)


def start_server(path: str) -> "Popen[bytes]":
    """Start the server on this socket; it ends with the group of this process."""
    import subprocess

    return subprocess.Popen(
        [sys.executable, "-I", os.path.join(os.path.dirname(__file__), "warm.py"), path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # kfp reads a task's output to its end: the server must not hold it open.
        stderr=subprocess.DEVNULL,
    )


def _connect() -> socket.socket | None:
    server = None
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and (server is None or server.poll() is None):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(os.environ[SOCKET])
            # It says something when it is ready.
            return connection if connection.recv(1) else None
        except ConnectionResetError:
            return None  # it died of its imports
        except OSError:
            connection.close()
            server = server or start_server(os.environ[SOCKET])
            time.sleep(0.02)
    return None


if __name__ == "__main__":
    run_task(sys.argv[1:])
