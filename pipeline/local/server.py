"""The fork server: a process that has imported what tasks need, and forks a process for each.

The run and the server share a socket. Over it the run sends a byte for each task, with two descriptors: a socket of the
task's own, and the pipe that the task prints to. The forked process reads its command from the task's socket. The
server answers there with the process id, then with the exit code.
"""

import ctypes
import gc
import importlib
import json
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from components.common.forked import become

ROOT = Path(__file__).parent.parent.parent
# What every task imports.
LIGHT = ("kfp.dsl.executor", "pydantic.type_adapter", "pydantic.types")
# What tasks that compute import, which takes three seconds.
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "sklearn.linear_model", "sklearn.metrics", "PIL.Image")
# prctl(2): the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


class Server:
    """The fork server, as the run sees it. It and all that it forked end when this is closed, or the run ends."""

    def __init__(self) -> None:
        self._start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.shutdown(socket.SHUT_RDWR)
        self._requests.close()
        self._process.kill()
        self._process.wait()

    def preload(self) -> None:
        """Have the server import HEAVY, for the tasks to come."""
        with suppress(BrokenPipeError):
            self._requests.send(b"i")

    def fork(self, command: list[str], environment: dict[str, str], output: int) -> socket.socket:
        """Fork a process that runs a command in this folder, in a process group of its own.

        Args:
            command: The command with its arguments.
            environment: All its environment variables.
            output: The descriptor of its standard output and standard error.

        Returns:
            A socket on which two lines come: the process id, and at its end the exit code, negative where a signal
            ended it. Lines are missing where the server was killed.
        """
        if self._process.poll() is not None:
            self._start()
        ours, theirs = socket.socketpair()
        with suppress(ConnectionError):  # the server was killed just now, and no line will come
            with theirs:
                socket.send_fds(self._requests, [b"f"], [theirs.fileno(), output])
            ours.sendall(json.dumps([command, str(Path.cwd()), environment]).encode() + b"\n")
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
    ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tasks: dict[socket.socket, BaseProcess] = {}
    while True:
        if ended in connection.wait([requests, ended]):
            os.read(ended, 4096)
        else:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 2)
            if not message:
                return
            if descriptors:
                _fork(requests, tasks, *descriptors)
            else:
                _import(HEAVY)
        for run, process in list(tasks.items()):
            if process.exitcode is not None:
                del tasks[run]
                _answer(run, process.exitcode)
                run.close()


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        with suppress(ImportError):  # the task that needs it says so
            importlib.import_module(module)


def _fork(requests: socket.socket, tasks: dict[socket.socket, BaseProcess], control: int, output: int) -> None:
    run = socket.socket(fileno=control)
    process = multiprocessing.get_context("fork").Process(target=_task, args=(requests, [run, *tasks], output))
    process.start()
    os.close(output)
    with suppress(OSError):  # it has made its group already, or has ended
        os.setpgid(process.pid or 0, 0)
    tasks[run] = process
    _answer(run, process.pid)


def _answer(run: socket.socket, number: int | None) -> None:
    with suppress(BrokenPipeError):  # the run has ended
        run.sendall(f"{number}\n".encode())


def _task(requests: socket.socket, sockets: list[socket.socket], output: int) -> None:
    """Become the task, in a process group of its own, which is killed where the run ends first."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with sockets[0].makefile() as lines:
        command, folder, environment = json.loads(lines.readline())
    for each in sockets:
        each.close()
    # A process that is stopped while another one measures has to wake up to end: the server ends with the run.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT))
    threading.Thread(target=_end_with_run, args=[requests], daemon=True).start()
    become(command, folder, environment, output)


def _end_with_run(requests: socket.socket) -> None:
    # A signal is for the other thread, which would sleep on.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    hangup = select.poll()
    hangup.register(requests, 0)
    hangup.poll()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # multiprocessing would wait for the tasks
