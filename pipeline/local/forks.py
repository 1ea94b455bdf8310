"""Processes that are forked from one that has imported what they need, so that each doesn't import it again.

This file is a program, which imports nothing of the project: the code of the project is read anew by each process.

    forks.py SOCKET                     the server: it forks a process for each request that comes over the socket
    forks.py SOCKET -m MODULE [ARG …]   asks for a process, and stands for it with its own streams and exit code

A process ends, and all that it started, when the other end of its connection closes, however that came about. So
nothing is left when the run is killed, together with the server or not.
"""

import contextlib
import json
import os
import socket
import sys

TYPE_CHECKING = False  # importing typing would take a third of the time that asking takes
if TYPE_CHECKING:
    from typing import Any, NoReturn

# At first what every task needs, then on demand what most need; it takes three seconds.
LIGHT = ("kfp.dsl.executor", "pydantic.type_adapter", "pydantic.types")
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "sklearn.linear_model", "sklearn.metrics", "PIL.Image")
# As components/common/forked.py has it.
PYTHON = "KERAS_PIPELINE_PYTHON"
FORK, IMPORT, TERMINATE = b"f", b"i", b"t"


def ask(
    server: socket.socket, command: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> socket.socket:
    """Ask for a process.

    Args:
        server: A connection to the server.
        command: What to run. A Python with `-m` is forked, anything else is started by the fork.
        folder: The working directory.
        environment: All of it.
        streams: Descriptors of its standard input, output and error.

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
    """Wait for the end of a process: its exit code, negative for a signal, SIGKILL's where the server is gone."""
    said = connection.recv(16)
    return int(said) if said else -9


def serve(server: socket.socket) -> None:
    """Fork until the other end of the socket closes; then end all processes."""
    import gc
    import select
    import signal

    # The collector needn't look through half a million imported objects, here and in every process again.
    gc.disable()
    for name in LIGHT:
        __import__(name)
    gc.freeze()
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    askers = [server]
    running: dict[int, socket.socket] = {}
    while True:
        for ready in select.select([woken, *askers], [], [])[0]:
            if ready is woken:
                woken.recv(4096)
                _reap(running)
                continue
            try:
                asked, descriptors, _, _ = socket.recv_fds(ready, 1, 4)
            except OSError:
                asked = b""
            if asked == FORK:
                connection, (asks, answers) = socket.socket(fileno=descriptors[0]), socket.socketpair()
                process = os.fork()
                if process == 0:
                    for other in (woken, wakes, asks, *askers, *running.values()):
                        other.close()
                    _become(connection, descriptors[1:], answers)
                os.setpgid(process, process)  # as it does itself
                answers.close()
                for stream in descriptors[1:]:
                    os.close(stream)
                running[process] = connection
                askers.append(asks)
            elif asked == IMPORT:
                for name in HEAVY:
                    __import__(name)
                gc.freeze()
            elif asked == TERMINATE:
                _signal(running, signal.SIGTERM)
            elif ready is server:
                _signal(running, signal.SIGKILL)
                for process in running:
                    os.waitpid(process, 0)
                return
            else:
                askers.remove(ready)
                ready.close()


def _signal(running: "dict[int, socket.socket]", number: int) -> None:
    """Send a signal to the processes, and to what they started."""
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, number)


def _reap(running: "dict[int, socket.socket]") -> None:
    """Tell how the processes ended that have ended, and end what they left running."""
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        connection = running.pop(process)
        _signal({process: connection}, 9)
        with connection, contextlib.suppress(OSError):  # nobody may wait for it
            connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))


def _become(connection: socket.socket, streams: list[int], server: socket.socket) -> "NoReturn":
    """Run what was asked for in this process, which was just forked."""
    import gc
    import importlib
    import runpy
    import signal
    import subprocess
    import tempfile
    import threading
    import traceback

    code: Any = 1
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
        with connection.makefile(encoding="utf-8") as asked:
            request = json.loads(asked.readline())
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
    """End this process' group when the connection closes."""
    connection.recv(1)
    os.killpg(0, 9)


def _stand_in(server: socket.socket, arguments: list[str]) -> "NoReturn":
    command = [sys.executable, *arguments]
    try:
        code = exit_code(ask(server, command, os.getcwd(), dict(os.environ), [0, 1, 2]))
    except OSError:
        os.execv(command[0], command)  # noqa: S606 (the server is gone; a new Python can do the same)
    raise SystemExit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    _socket = socket.socket(fileno=int(sys.argv[1]))
    serve(_socket) if len(sys.argv) == 2 else _stand_in(_socket, sys.argv[2:])
