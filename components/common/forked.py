"""Processes that run a Python module. In a local run they are forked from one that has imported TensorFlow already."""

import ctypes
import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

# A local run on Linux gives its tasks this variable, so that the modules that they start are forked too.
FORK = "KERAS_PIPELINE_FORK"
_ROOT = str(Path(__file__).parent.parent.parent)


def fork(
    command: list[str],
    folder: str,
    environment: dict[str, str],
    stdin: Connection | None,
    output: Connection,
    group: int = 0,
) -> BaseProcess:
    """Fork a process that runs a command. It is killed where this process ends first.

    Args:
        command: The command with its arguments. `python -m` runs in the process itself, another command is its child.
        folder: The working directory.
        environment: All environment variables of the process.
        stdin: Its standard input; None for an empty one.
        output: Its standard output and standard error.
        group: The process group that it joins; 0 for one of its own. One of its own is forked from the fork server of
            Python's multiprocessing, another one from this process.
    """
    how = multiprocessing.get_context("fork") if group else multiprocessing.get_context("forkserver")
    process = how.Process(target=_become, args=(command, folder, environment, stdin, output, group))
    # Or else the new process would begin with the program of this one: a script that calls the pipeline.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


class Forked:
    """A process that `fork` started, with the methods of `subprocess.Popen` and a pipe to its standard input."""

    def __init__(self, command: list[str], folder: str, environment: dict[str, str], output: int) -> None:
        read, write = os.pipe()
        self.stdin = os.fdopen(write, "wb")
        with Connection(read, writable=False) as theirs, Connection(os.dup(output), readable=False) as prints:
            self._process = fork(command, folder, environment, theirs, prints, os.getpgrp())

    def poll(self) -> int | None:
        """The exit code, or minus a signal's number; None while it runs."""
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        """What `poll` gives."""
        return self.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("python -m", timeout or 0.0)
        return code

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send it SIGKILL."""
        self._process.kill()


def start_module(
    module: list[str], output: int, environment: dict[str, str], folder: str = ""
) -> "subprocess.Popen[bytes] | Forked":
    """Start `python -m` with a pipe to its standard input.

    In a task of a local run it is forked from this process, which has imported TensorFlow, unless that has computed
    before: a fork has none of its threads.

    Args:
        module: The module's name and its arguments.
        output: The descriptor of its standard output and standard error.
        environment: All its environment variables.
        folder: The working directory; "" for that of this process.
    """
    command, folder = [sys.executable, "-m", *module], folder or str(Path.cwd())
    # One thread is this one, another waits for the end of the process' parent.
    if FORK in os.environ and len(list(Path("/proc/self/task").iterdir())) <= 2:
        return Forked(command, folder, environment, output)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder, env=environment)


def _become(
    command: list[str],
    folder: str,
    environment: dict[str, str],
    stdin: Connection | None,
    output: Connection,
    group: int,
) -> None:
    """Run the command in this process, which was just forked."""
    os.setpgid(0, group)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A process that is stopped while another one measures has to wake up to end with its parent.
    signal_at_parents_end(signal.SIGCONT)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=[parent.join if parent else None], daemon=True).start()
    # The garbage collector needn't walk the half a million objects that the server imported.
    gc.freeze()
    gc.enable()
    if stdin:
        os.dup2(stdin.fileno(), 0)
        stdin.close()
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 (a descriptor)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    if command[:2] != [sys.executable, "-m"]:
        signal.signal(signal.SIGTERM, lambda *_: None)  # the command's own end is waited for
        code = subprocess.call(command)
        raise SystemExit(code if code >= 0 else 128 - code)
    # The paths of a new Python: those of this process' parent aren't the command's.
    own = [] if os.environ.get("PYTHONSAFEPATH") else [folder]
    paths = [*own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*paths, *(path for path in sys.path if path not in (_ROOT, "", *paths))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "components"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    sys.argv = command[2:]
    # Without alter_sys the module isn't imported again by a process that it forks.
    runpy.run_module(command[2], run_name="__main__")


def signal_at_parents_end(number: signal.Signals) -> None:
    """Have Linux send this process a signal when the process that forked it ends (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(number))


def _end_with(wait: "Callable[[], None] | None") -> None:
    # A signal is for the other thread, which would sleep on.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    if wait:
        wait()
        os.killpg(0, signal.SIGKILL)
