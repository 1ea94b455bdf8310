"""Tasks forked from a process that has imported TensorFlow, so that each doesn't import it again.

This file is run by path, by a `python3` that stands first on the PATH of kfp.local's tasks (see `write_shim`).
The server imports TensorFlow, runs nothing with it, and forks one process for each task, which then runs exactly
what `python3 -m kfp.dsl.executor_main …` would. It is started ahead where tasks will run, else by the first that does.
Where it isn't to be had, or something else than a module is asked for, the real Python runs it. Only the standard
library is used here, since every start pays for it.
"""

import contextlib
import gc
import json
import os
import runpy
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

SOCKET = "KERAS_PIPELINE_WARM"
# Imported once, in the server. Nothing of this project: its code is read anew by every task.
PRELOADED = (
    "kfp.dsl.executor",
    "tensorflow",
    "keras",
    "tensorflow_datasets",
    "sklearn.linear_model",
    "sklearn.metrics",
    "PIL.Image",
    "pydantic",
)
_START_SECONDS = 10
_READY = b"+"


def write_shim(folder: Path) -> None:
    """Write the `python3` that hands tasks to the server."""
    folder.mkdir(parents=True, exist_ok=True)
    shim = folder / "python3"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{Path(__file__).absolute()}" "$@"\n')
    shim.chmod(0o755)


def run_task(arguments: list[str]) -> NoReturn:
    """Let the server run a task with this process' streams, folder and environment; end as the task ends."""
    connection = _connect() if arguments[0] == "-m" else None
    if connection is None:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 (the real Python)
    task = json.dumps({"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}).encode()
    socket.send_fds(connection, [struct.pack("<I", len(task))], [0, 1, 2])
    connection.sendall(task)
    status = connection.recv(4)
    # Without an answer the server is gone, and its task with it.
    raise SystemExit(struct.unpack("<i", status)[0] if len(status) == 4 else 1)


def start_server() -> subprocess.Popen[bytes]:
    """Start the server; it ends with the group of this process."""
    return subprocess.Popen(
        [sys.executable, "-I", __file__, "--serve"],
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
        except OSError:
            connection.close()
            server = server or start_server()
            time.sleep(0.02)
        else:
            # Nothing comes of a server that dies of its imports.
            return connection if connection.recv(1) == _READY else None
    return None


def serve(path: str) -> None:
    """Import the packages, then fork a process for each task that comes; those that come meanwhile wait."""
    Path(path).unlink(missing_ok=True)  # of a server that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    for name in PRELOADED:
        __import__(name)
    # The garbage collector needn't look through what was imported, in every task again: half a million objects.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        connection.sendall(_READY)
        header, streams, _, _ = socket.recv_fds(connection, 4, 3)
        task = b""
        while len(task) < struct.unpack("<I", header)[0]:
            task += connection.recv(1 << 16)
        # One process waits for the task, so that the server is there for what the task itself starts.
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            child = os.fork()
            if child == 0:
                connection.close()
                _become(json.loads(task), streams)
            for stream in streams:
                os.close(stream)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with contextlib.suppress(OSError):
                connection.sendall(struct.pack("<i", status if status >= 0 else 128 - status))
            os._exit(0)
        for stream in streams:
            os.close(stream)
        connection.close()


def _become(task: dict[str, Any], streams: list[int]) -> NoReturn:
    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 (a descriptor)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(task["folder"])
        os.environ.clear()
        os.environ.update(task["environment"])
        paths = task["environment"].get("PYTHONPATH", "")
        sys.path[:0] = [task["folder"], *filter(None, paths.split(os.pathsep))]
        # A Python that a task starts is forked as well.
        sys.executable = shutil.which("python3") or sys.executable
        _, module, *rest = task["arguments"]
        sys.argv = [module, *rest]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve(os.environ[SOCKET])
    else:
        run_task(sys.argv[1:])
