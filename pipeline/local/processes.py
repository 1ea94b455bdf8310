"""The processes of a local run's tasks."""

import codecs
import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pipeline.local import forks

ROOT = Path(__file__).parent.parent.parent
# The time between SIGTERM and SIGKILL, in which a training saves a checkpoint.
GRACE_SECONDS = 4.0
# The shell script in KFP's command of a Python component. The component's source and its arguments follow it.
_KFP = (
    'program_path=$(mktemp -d) printf "%s" "$0" > "$program_path/ephemeral_component.py" _KFP_RUNTIME=true python3 '
    '-m kfp.dsl.executor_main --component_module_path "$program_path/ephemeral_component.py" "$@"'
)


class Processes:
    """Runs tasks, each in a process that is forked from a server, which has imported the libraries already.

    Args:
        scratch: The folder of temporary files.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._start()

    def _start(self) -> None:
        self._ready = False
        self._control, theirs = socket.socketpair()
        with theirs, (self._scratch / "forks.log").open("wb") as log:
            self._server = subprocess.Popen(
                # -I: the user's PYTHON… variables are for the tasks, not for the server.
                [sys.executable, "-I", "-X", "utf8", forks.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that tasks are forked from."""
        return self._server.pid

    def get_ready(self) -> None:
        """Have the server import TensorFlow, for the tasks to come."""
        if self._ready:
            return
        self._ready = True
        with contextlib.suppress(OSError):
            self._control.send(forks.IMPORT)

    def run(self, image: str, name: str, command: list[str], on_line: Callable[[str], None]) -> int:
        """Run a task.

        Args:
            image: The image's name, which isn't used.
            name: The task's name.
            command: The command with its arguments. That of a Python component runs without KFP's shell script.
            on_line: It is called with each line that the task prints.

        Returns:
            The exit code, negative where a signal ended the process.
        """
        if self._server.poll() is not None:
            self._start()
        folder = self._scratch / name
        folder.mkdir()
        if command[0] == "sh" and " ".join(command[2].replace(" exec ", " ").split()) == _KFP:
            program = folder / "ephemeral_component.py"
            program.write_text(command[3], encoding="utf-8")
            program_path = ["--component_module_path", str(program)]
            command = [sys.executable, "-m", "kfp.dsl.executor_main", *program_path, *command[4:]]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(folder),
            "_KFP_RUNTIME": "true",
        }
        printed, prints = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            connection = forks.ask(self._control, command, str(Path.cwd()), environment, [nothing, prints, prints])
        finally:
            os.close(nothing)
            os.close(prints)
        with connection, open(printed, "rb", buffering=0):  # noqa: PTH123 (a descriptor)
            try:
                for line in lines(_chunks(printed, connection)):
                    on_line(line)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._control.send(forks.TERMINATE)
                for line in lines(_chunks(printed, connection, GRACE_SECONDS)):
                    on_line(line)
                raise
            finally:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)  # a process that hasn't ended is killed by this
                code = forks.exit_code(connection)
                shutil.rmtree(folder, ignore_errors=True)
            return code

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.wait()
        self._control.close()


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split a stream of bytes into its lines."""
    rest = ""
    for text in codecs.iterdecode(chunks, "utf-8", "replace"):
        *whole, rest = (rest + text).split("\n")
        yield from whole
    if rest:
        yield rest


def _chunks(printed: int, connection: socket.socket, seconds: float | None = None) -> Iterator[bytes]:
    """The output of a process until it has ended or the seconds have passed, even where its own children live on."""
    deadline = None if seconds is None else time.monotonic() + seconds
    open_ends: list[int | socket.socket] = [printed, connection]
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = select.select(open_ends, [], [], left)[0]
        if printed not in ready:
            return
        if chunk := os.read(printed, 1 << 16):
            yield chunk
        else:
            open_ends = [connection]
