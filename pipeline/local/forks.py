"""Processes that are forked from a server, which has imported the libraries already, so that tasks start at once.

This file is a program. It imports nothing of the project, so that each process reads the project's code anew.

    forks.py SOCKET                     is the server: it forks a process for each request that comes over the socket
    forks.py SOCKET -m MODULE [ARG …]   asks for a process, and gives it its own streams and returns its exit code

A process and all that it started end when the other end of its connection closes. So no process is left when the run
is killed, whether the server is killed with it or not.
"""

import contextlib
import json
import os
import socket
import sys

TYPE_CHECKING = False  # the import of typing would take a third of the time of a request
if TYPE_CHECKING:
    from typing import NoReturn

# The server imports LIGHT, which every task needs, when it starts, and HEAVY on demand, which takes three seconds.
LIGHT = ("kfp.dsl.executor", "pydantic.type_adapter", "pydantic.types")
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "sklearn.linear_model", "sklearn.metrics", "PIL.Image")
# The variable's name in components/common/forked.py, too.
PYTHON = "KERAS_PIPELINE_PYTHON"
FORK, IMPORT, TERMINATE = b"f", b"i", b"t"


def ask(
    server: socket.socket, command: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> socket.socket:
    """Ask for a process.

    Args:
        server: The connection to the server.
        command: The command with its arguments. `python -m` runs in the fork itself, other commands are its children.
        folder: The working directory.
        environment: All environment variables of the process.
        streams: The descriptors of its standard input, output and error.

    Returns:
        The connection that `exit_code` reads. The process ends when it is closed.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(server, [FORK], [theirs.fileno(), *streams])
    request = {"command": command, "folder": folder, "environment": environment}
    ours.sendall(json.dumps(request).encode() + b"\n")
    return ours


def exit_code(connection: socket.socket) -> int:
    """Wait for the end of a process.

    Returns:
        The exit code, or minus a signal's number: SIGKILL's where the server is gone.
    """
    code = connection.recv(16)
    return int(code) if code else -9


def serve(server: socket.socket) -> None:
    """Fork a process for each request until the other end of the socket closes. Then end all processes."""
    import gc
    import select
    import signal

    # The garbage collector needn't walk half a million imported objects, here and again in each process.
    gc.disable()
    for name in LIGHT:
        __import__(name)
    gc.freeze()
    signals, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())
    clients = [server]
    running: dict[int, socket.socket] = {}
    while True:
        for ready in select.select([signals, *clients], [], [])[0]:
            if ready is signals:
                signals.recv(4096)
                _reap(running)
                continue
            try:
                request, descriptors, _, _ = socket.recv_fds(ready, 1, 4)
            except OSError:
                request = b""
            if request == FORK:
                connection, (ours, theirs) = socket.socket(fileno=descriptors[0]), socket.socketpair()
                process = os.fork()
                if process == 0:
                    for other in (signals, wakeup, ours, *clients, *running.values()):
                        other.close()
                    _become(connection, descriptors[1:], theirs)
                os.setpgid(process, process)  # the process does it too; whoever comes first
                theirs.close()
                for stream in descriptors[1:]:
                    os.close(stream)
                running[process] = connection
                clients.append(ours)
            elif request == IMPORT:
                for name in HEAVY:
                    __import__(name)
                gc.freeze()
            elif request == TERMINATE:
                _signal(running, signal.SIGTERM)
            elif ready is server:
                _signal(running, signal.SIGKILL)
                for process in running:
                    os.waitpid(process, 0)
                return
            else:
                clients.remove(ready)
                ready.close()


def _signal(running: "dict[int, socket.socket]", number: int) -> None:
    """Send a signal to the processes, and to the processes that they started."""
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, number)


def _reap(running: "dict[int, socket.socket]") -> None:
    """Send the exit codes of the processes that have ended, and end the processes that they started."""
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        connection = running.pop(process)
        _signal({process: connection}, 9)
        with connection, contextlib.suppress(OSError):  # the other end may be closed
            connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))


def _become(connection: socket.socket, streams: list[int], server: socket.socket) -> "NoReturn":
    """Read the request and run it in this process, which was just forked."""
    import gc
    import importlib
    import runpy
    import signal
    import subprocess
    import tempfile
    import threading
    import traceback

    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        gc.enable()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 (a descriptor)
        sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
        with connection.makefile(encoding="utf-8") as file:
            request = json.loads(file.readline())
        threading.Thread(target=_end_with, args=[connection], daemon=True).start()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        command = request["command"]
        if command[:2] == [sys.executable, "-m"]:
            os.environ[PYTHON] = json.dumps([sys.executable, "-I", "-S", __file__, str(server.fileno())])
            tempfile.tempdir = None
            paths = os.environ.get("PYTHONPATH", "")
            folder = [] if os.environ.get("PYTHONSAFEPATH") else [request["folder"]]
            sys.path[:0] = [*folder, *filter(None, paths.split(os.pathsep))]
            importlib.invalidate_caches()
            sys.argv = command[2:]
            runpy.run_module(command[2], run_name="__main__", alter_sys=True)
            code = 0
        else:
            code = subprocess.call(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


def _end_with(connection: socket.socket) -> None:
    """Wait until the connection closes, and kill the group of this process."""
    connection.recv(1)
    os.killpg(0, 9)


def _stand_in(server: socket.socket, arguments: list[str]) -> "NoReturn":
    """Have the server run a Python with these arguments, and end with its exit code."""
    command = [sys.executable, *arguments]
    try:
        code = exit_code(ask(server, command, os.getcwd(), dict(os.environ), [0, 1, 2]))
    except OSError:
        os.execv(command[0], command)  # noqa: S606 (the server is gone; a new Python can do the same)
    raise SystemExit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    _socket = socket.socket(fileno=int(sys.argv[1]))
    serve(_socket) if len(sys.argv) == 2 else _stand_in(_socket, sys.argv[2:])
