"""The processes of a local run's tasks."""

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any

from components.common.forked import FORK, fork

ROOT = Path(__file__).parent.parent.parent
# The time between SIGTERM and SIGKILL, in which a training saves a checkpoint.
GRACE_SECONDS = 4.0
# The fork server imports LIGHT, which every task needs, or all of it, which takes three seconds.
LIGHT = ["pipeline.local.preload", "kfp.dsl.executor", "pydantic.type_adapter", "pydantic.types"]
HEAVY = ["tensorflow", "keras", "tensorflow_datasets", "sklearn.linear_model", "sklearn.metrics", "PIL.Image"]
# The shell script in KFP's command of a Python component. The component's source and its arguments follow it.
_KFP = (
    'program_path=$(mktemp -d) printf "%s" "$0" > "$program_path/ephemeral_component.py" _KFP_RUNTIME=true python3 '
    '-m kfp.dsl.executor_main --component_module_path "$program_path/ephemeral_component.py" "$@"'
)
_LAST_BYTES = 1 << 16
_preloaded: list[str] = []


def preload(libraries: list[str], scratch: Path) -> None:
    """Have the fork server import libraries, for the tasks to come, unless it has them or a task runs.

    Args:
        libraries: LIGHT, or LIGHT and HEAVY.
        scratch: The folder of temporary files, where the server's socket is.
    """
    if set(libraries) <= set(_preloaded) or multiprocessing.active_children():
        return
    close()
    _preloaded[:] = libraries
    # A socket's path has 107 characters at most.
    multiprocessing.current_process()._config["tempdir"] = os.path.relpath(scratch)  # type: ignore[attr-defined]
    multiprocessing.get_context("forkserver").set_forkserver_preload(libraries)
    # What a terminal sends to all is for the run, which ends the tasks; the server inherits that it ignores it.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    forkserver.ensure_running()
    for number, handler in before.items():
        signal.signal(number, handler)


def close() -> None:
    """End the fork server, and what a second Ctrl-C left running."""
    for process in multiprocessing.active_children():
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
    server: Any = forkserver._forkserver
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()
    _preloaded.clear()


class Running:
    """A task that runs, in a process group of its own.

    Args:
        command: The command with its arguments. That of a Python component runs without KFP's shell script.
        folder: The task's folder of temporary files.
        log: The file that its output is added to.
        environment: Variables beside those of this process.

    Attributes:
        sentinel: It is ready, for `multiprocessing.connection.wait`, when the process has ended.
        output: It is ready when the process has printed something.
    """

    def __init__(self, command: list[str], folder: Path, log: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        self._folder = folder
        if command[0] == "sh" and " ".join(command[2].replace(" exec ", " ").split()) == _KFP:
            program = folder / "ephemeral_component.py"
            program.write_text(command[3], encoding="utf-8")
            program_path = ["--component_module_path", str(program)]
            command = [sys.executable, "-m", "kfp.dsl.executor_main", *program_path, *command[4:]]
        self._log = log.open("ab", buffering=0)
        self._last = b""
        self.output, prints = multiprocessing.Pipe(duplex=False)
        with prints:
            own = {**os.environ, **_environment(folder), **environment}
            self._process = fork(command, str(Path.cwd()), own, None, prints)
        self.sentinel = self._process.sentinel

    def read(self) -> bool:
        """Write what it has printed to its log. Returns False where it will print nothing more."""
        if not (printed := os.read(self.output.fileno(), 1 << 16)):
            return False
        self._last = (self._last + printed)[-_LAST_BYTES:]
        with suppress(OSError):  # the task itself reports a full disk
            self._log.write(printed)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, and to those that it started."""
        if self._process.pid is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            if self._process.exitcode is None:  # it hasn't made its group yet
                os.kill(self._process.pid, number)

    def end(self) -> int:
        """Kill what the process left running, or itself. Returns its exit code, negative where a signal ended it."""
        self.signal(signal.SIGKILL)
        self._process.join()
        while self.output.poll() and self.read():
            pass
        self.output.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return self._process.exitcode or 0

    def last_lines(self) -> list[str]:
        """The end of what it printed."""
        return self._last.decode(errors="replace").splitlines()


def stop(tasks: Iterable[Running]) -> None:
    """End tasks: they have `GRACE_SECONDS` after SIGTERM."""
    tasks = list(tasks)
    for task in tasks:
        task.signal(signal.SIGTERM)
        task.signal(signal.SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    alive, printing = list(tasks), list(tasks)
    while alive and (left := deadline - time.monotonic()) > 0:
        ready = connection.wait([*(task.sentinel for task in alive), *(task.output for task in printing)], left)
        printing = [task for task in printing if task.output not in ready or task.read()]
        alive = [task for task in alive if task.sentinel not in ready]
    for task in tasks:
        task.end()


def _environment(folder: Path) -> dict[str, str]:
    return {
        **({FORK: "1"} if sys.platform == "linux" else {}),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        # TensorFlow would take all of a GPU's memory at once, and nothing be left for another task.
        "TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
        "TMPDIR": str(folder),
        "_KFP_RUNTIME": "true",
    }
