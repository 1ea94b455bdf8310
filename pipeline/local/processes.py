"""The processes of a local run's tasks."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path
from typing import Any

from components.common.events import EVENTS
from components.common.forked import FORK
from pipeline.local.server import ROOT, Server

# The time between SIGTERM and SIGKILL, in which a training saves a checkpoint.
GRACE_SECONDS = 4.0
# The shell script in KFP's command of a Python component. The component's source and its arguments follow it.
_KFP = (
    'program_path=$(mktemp -d) printf "%s" "$0" > "$program_path/ephemeral_component.py" _KFP_RUNTIME=true python3 '
    '-m kfp.dsl.executor_main --component_module_path "$program_path/ephemeral_component.py" "$@"'
)
_LAST_BYTES = 1 << 16


class Running:
    """A task that runs, in a process group of its own.

    Args:
        server: Forks it.
        command: The command with its arguments. That of a Python component runs without KFP's shell script.
        scratch: The folder of its temporary files, which is made.
        log: The file that its output is added to.
        events: The file that it tells its events in.
        gpus: Whether it may use the machine's GPUs.

    Attributes:
        pid: Its process id, which is that of its group; 0 where the server was killed before it forked.
        sentinel: It is ready, for `multiprocessing.connection.wait`, when the process has ended.
        output: It is ready when the process has printed something.
        prints: Whether it may print something more.
    """

    def __init__(
        self, server: Server, command: list[str], scratch: Path, log: Path, events: Path, gpus: bool = False
    ) -> None:
        scratch.mkdir()
        self._scratch, self._events, self._heard, self._last = scratch, events, 0, b""
        self._log = log.open("ab", buffering=0)
        if command[0] == "sh" and " ".join(command[2].replace(" exec ", " ").split()) == _KFP:
            program = scratch / "ephemeral_component.py"
            program.write_text(command[3], encoding="utf-8")
            program_path = ["--component_module_path", str(program)]
            command = [sys.executable, "-m", "kfp.dsl.executor_main", *program_path, *command[4:]]
        self.prints = True
        self.output, prints = multiprocessing.Pipe(duplex=False)
        with prints:
            own = {**os.environ, **_environment(scratch, gpus), EVENTS: str(events)}
            self.sentinel = server.fork(command, own, prints.fileno())
        # Without a buffer, so that the sentinel is ready when the second line has come.
        self._answers = self.sentinel.makefile("rb", buffering=0)
        self.pid = int(self._answer() or 0)

    def read(self) -> bool:
        """Write what it has printed to its log. Returns False where it will print nothing more."""
        printed = os.read(self.output.fileno(), 1 << 16)
        self._last = (self._last + printed)[-_LAST_BYTES:]
        with suppress(OSError):  # the task itself reports a full disk
            self._log.write(printed)
        self.prints = bool(printed)
        return self.prints

    def told(self) -> list[dict[str, Any]]:
        """What it told since the last time."""
        with suppress(FileNotFoundError), self._events.open("rb") as file:
            file.seek(self._heard)
            whole = [line for line in file if line.endswith(b"\n")]
            self._heard += sum(map(len, whole))
            return [json.loads(line) for line in whole]
        return []

    def let_measure(self, number: int) -> None:
        """Answer that no other task computes, so that it can measure for the so-many-th time."""
        Path(f"{self._events}.{number}").touch()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, and to those that it started."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def end(self) -> int:
        """Kill what the process left running, or itself. Returns its exit code, negative where a signal ended it."""
        self.signal(signal.SIGKILL)
        code = int(self._answer() or -signal.SIGKILL)
        while self.output.poll() and self.read():
            pass
        for file in (self.sentinel, self._answers, self.output, self._log):
            file.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        return code

    def _answer(self) -> bytes:
        """The server's next line; nothing where the server was killed."""
        with suppress(ConnectionResetError):  # it was killed before it read the command
            return self._answers.readline()
        return b""

    def last_lines(self) -> list[str]:
        """The end of what it printed."""
        return self._last.decode(errors="replace").splitlines()


def wait(tasks: Iterable[Running], seconds: float) -> list[Running]:
    """Wait until a task prints something, which is read, or ends. Returns the tasks that have ended."""
    tasks = list(tasks)
    outputs = [task.output for task in tasks if task.prints]
    ready = connection.wait([*(task.sentinel for task in tasks), *outputs], seconds)
    for task in tasks:
        if task.output in ready:
            task.read()
    return [task for task in tasks if task.sentinel in ready]


def stop(tasks: Iterable[Running]) -> None:
    """End tasks: they have `GRACE_SECONDS` after SIGTERM."""
    alive = tasks = list(tasks)
    for task in tasks:
        task.signal(signal.SIGTERM)
        task.signal(signal.SIGCONT)
    deadline = time.monotonic() + GRACE_SECONDS
    while alive and (left := deadline - time.monotonic()) > 0:
        ended = wait(alive, left)
        alive = [task for task in alive if task not in ended]
    for task in tasks:
        task.end()


def _environment(scratch: Path, gpus: bool) -> dict[str, str]:
    return {
        **({FORK: "1"} if sys.platform == "linux" else {}),
        **({} if gpus else {"CUDA_VISIBLE_DEVICES": "-1"}),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        # TensorFlow would take all of a GPU's memory at once, and nothing be left for another task.
        "TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
        "TMPDIR": str(scratch),
        "_KFP_RUNTIME": "true",
    }
