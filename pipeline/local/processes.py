"""The processes of a run's tasks."""

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
# Between asking a task to end and killing it: a training saves a checkpoint.
GRACE_SECONDS = 4.0
# What KFP's command of a Python component does with the source and arguments that follow it.
_KFP = (
    'program_path=$(mktemp -d) printf "%s" "$0" > "$program_path/ephemeral_component.py" _KFP_RUNTIME=true python3 '
    '-m kfp.dsl.executor_main --component_module_path "$program_path/ephemeral_component.py" "$@"'
)


class Processes:
    """Runs tasks, each in a process that is forked from one that has imported what it needs.

    Args:
        scratch: A folder for all that is temporary.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._start()

    def _start(self) -> None:
        self._ready = False
        self._control, theirs = socket.socketpair()
        with theirs, (self._scratch / "forks.log").open("wb") as log:
            self._server = subprocess.Popen(
                # Without the user's settings: they are for the tasks.
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
        """Import TensorFlow, for tasks that will come."""
        if self._ready:
            return
        self._ready = True
        with contextlib.suppress(OSError):
            self._control.send(forks.IMPORT)

    def run(self, image: str, name: str, command: list[str], say: Callable[[str], None]) -> int:
        """Run a task.

        Args:
            image: Of its container; not used.
            name: Its name.
            command: KFP's of a Python component runs without its shell; another one runs as it stands.
            say: Gets each line that it prints.

        Returns:
            Its exit code, negative where a signal ended it.
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
                    say(line)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._control.send(forks.TERMINATE)
                for line in lines(_chunks(printed, connection, GRACE_SECONDS)):
                    say(line)
                raise
            finally:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)  # it is killed, if it hasn't ended
                code = forks.exit_code(connection)
                shutil.rmtree(folder, ignore_errors=True)
            return code

    def close(self) -> None:
        """End what they are forked from."""
        self._server.kill()
        self._server.wait()
        self._control.close()


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines of a stream that comes in pieces."""
    rest = ""
    for text in codecs.iterdecode(chunks, "utf-8", "replace"):
        *whole, rest = (rest + text).split("\n")
        yield from whole
    if rest:
        yield rest


def _chunks(printed: int, connection: socket.socket, seconds: float | None = None) -> Iterator[bytes]:
    """What a process prints until it has ended, or so many seconds have passed; what it started may live longer."""
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
