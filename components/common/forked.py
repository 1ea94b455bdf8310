"""Processes that run a Python module. In a local run they are forked from one that has imported TensorFlow already."""

import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# A local run on Linux gives its tasks this variable, so that the modules that they start are forked too.
FORK = "KERAS_PIPELINE_FORK"
_ROOT = str(Path(__file__).parent.parent.parent)


class Forked:
    """A process that was forked from this one, with methods of `subprocess.Popen` and a pipe to its standard input."""

    def __init__(self, command: list[str], folder: str, environment: dict[str, str], output: int) -> None:
        read, write = os.pipe()
        self.stdin = os.fdopen(write, "wb")
        arguments = (command, folder, environment, output, read)
        self._process = multiprocessing.get_context("fork").Process(target=become, args=arguments)
        self._process.start()
        os.close(read)

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
    # One thread is this one, another waits for the end of the run.
    if FORK in os.environ and len(list(Path("/proc/self/task").iterdir())) <= 2:
        return Forked(command, folder, environment, output)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder, env=environment)


def become(command: list[str], folder: str, environment: dict[str, str], output: int, stdin: int | None = None) -> None:
    """Run a command in this process, which was just forked.

    Args:
        command: The command with its arguments. `python -m` runs in the process itself, another command is its child.
        folder: The working directory.
        environment: All environment variables of the process.
        output: The descriptor of its standard output and standard error.
        stdin: The descriptor of its standard input; None for that of this process.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The garbage collector needn't walk the half a million objects that the server imported.
    gc.freeze()
    gc.enable()
    if stdin is not None:
        os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
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
