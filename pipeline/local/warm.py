"""Tasks forked from a process that has imported TensorFlow, so that each doesn't import it again.

This file is run by path, by `warm_task`: a server that imports TensorFlow, runs nothing with it, and forks one process
for each task, which then runs exactly what `python3 -m kfp.dsl.executor_main …` would. It is started ahead where
tasks will run, else by the first that does.
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
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

# Imported once, in the server. Nothing of this project: its code is read anew by every task.
PRELOADED = (
    "kfp.dsl.executor",
    "tensorflow",
    "keras",
    "tensorflow_datasets",
    "sklearn.linear_model",
    "sklearn.metrics",
    "PIL.Image",
    # pydantic alone imports next to nothing.
    "pydantic.type_adapter",
    "pydantic.types",
)


def write_shim(folder: Path) -> None:
    """Write the `python3` that hands tasks to the server."""
    folder.mkdir(parents=True, exist_ok=True)
    shim = folder / "python3"
    # Without site-packages, which `warm_task` doesn't use.
    shim.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -I -S "{Path(__file__).with_name("warm_task.py")}" "$@"\n',
        encoding="utf-8",
    )
    shim.chmod(0o755)


def serve(path: str) -> None:
    """Import the packages, then fork a process for each task that comes; those that come meanwhile wait."""
    Path(path).unlink(missing_ok=True)  # of a server that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    # The garbage collector needn't look through what is imported, while it is (a quarter of the time) and in every task
    # again: half a million objects.
    gc.disable()
    for name in PRELOADED:
        __import__(name)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"+")
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
        sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115 (a descriptor)
        sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
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
    serve(sys.argv[1])
