"""The fork server: a process that has imported what tasks need, and forks a process for each.

The run and the server share a socket. Over it the run sends a byte for each task, with two descriptors: a connection of
the task's own, and the pipe that the task prints to. The server forks a keeper, which forks the task, waits for its
end, and kills it where the server ends first.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from components.common.forked import become

ROOT = Path(__file__).parent.parent.parent
# What every task imports.
LIGHT = ("kfp.dsl.executor", "pydantic.type_adapter", "pydantic.types")
# What tasks that compute import, which takes three seconds.
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "sklearn.linear_model", "sklearn.metrics", "PIL.Image")
_Process = multiprocessing.get_context("fork").Process


class Server:
    """The fork server, as the run sees it. It and all that it forked end when this is closed, or the run ends."""

    def __init__(self) -> None:
        self._start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.kill()
        self._process.wait()

    def preload(self) -> None:
        """Have the server import HEAVY, for the tasks to come."""
        with suppress(BrokenPipeError):
            self._requests.send(b"i")

    def fork(self, output: Connection) -> Connection:
        """Fork a task, in a process group of its own.

        Args:
            output: The pipe of its standard output and standard error.

        Returns:
            A connection. It gives the process id, takes the command, the working directory and all environment
            variables, and gives the exit code at the end, negative where a signal ended it.
        """
        if self._process.poll() is not None:
            self._requests.close()
            self._start()
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            socket.send_fds(self._requests, [b"f"], [theirs.fileno(), output.fileno()])
        return ours

    def _start(self) -> None:
        self._requests, theirs = socket.socketpair()
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeline.local.server", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # TensorFlow's messages would be between the lines of the run
                process_group=0,  # what a terminal sends to all is for the run, which ends the tasks
            )


def serve(requests: socket.socket) -> None:
    """Import and fork, until the run closes its end of the socket."""
    # The garbage collector would look through half a million imported objects again and again.
    gc.disable()
    _import(LIGHT)
    while (received := socket.recv_fds(requests, 1, 2))[0]:
        if descriptors := received[1]:
            _Process(target=_keep, args=descriptors).start()
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            _import(HEAVY)


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        with suppress(ImportError):  # the task that needs it says so
            importlib.import_module(module)


def _keep(control: int, output: int) -> None:
    """Fork a task, wait for its end, and kill it where the server ends first."""
    with Connection(control) as run, suppress(BrokenPipeError):  # the run has ended
        task = _Process(target=_task, args=(run, output))
        task.start()
        os.setpgid(task.pid or 0, 0)
        threading.Thread(target=_end_with_server, args=[task.pid], daemon=True).start()
        run.send(task.pid)
        task.join()
        run.send(task.exitcode)


def _task(run: Connection, output: int) -> None:
    with run:
        command, folder, environment = run.recv()
    become(command, folder, environment, output)


def _end_with_server(task: int) -> None:
    if server := multiprocessing.parent_process():
        server.join()
        os.killpg(task, signal.SIGKILL)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # multiprocessing would wait for the tasks
