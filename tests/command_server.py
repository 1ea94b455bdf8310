"""The command line, each command in a process of its own, forked from one that has imported its libraries.

Their import takes three quarters of a short command's time. The project's own modules are imported by each command, for
some read the environment then. The tests end to end start Python anew, as users do.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = (
    *("google.cloud.aiplatform_v1", "google.cloud.storage", "kfp.client", "kfp.kubernetes"),
    *("pydantic", "rich.console", "tensorflow_datasets", "typer"),
)
LONGEST_SECONDS = 120


class CommandServer:
    """The process that forks.

    Args:
        home: Its home, where kfp would keep its context.
    """

    def __init__(self, home):
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, env):
        """Run python -m pipeline with arguments here, in an environment."""
        arguments = [str(argument) for argument in arguments]
        with contextlib.ExitStack() as stack:
            output, errors = (
                stack.enter_context(tempfile.NamedTemporaryFile("r+", encoding="utf-8")) for _ in range(2)
            )
            request = {"arguments": arguments, "env": env, "cwd": str(Path.cwd())}
            print(json.dumps({**request, "files": [os.devnull, output.name, errors.name]}), file=self._process.stdin)
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(arguments, code, output.read(), errors.read())

    def stop(self):
        """End it."""
        self._process.communicate()


def forked():
    """Fork for each request; the request, in the process that was forked for it."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        if not (pid := os.fork()):
            return json.loads(line)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    raise SystemExit


def run(request):
    """Be the command."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    for number, path in enumerate(request["files"]):
        os.dup2(os.open(path, os.O_RDWR), number)
    signal.alarm(LONGEST_SECONDS)
    sys.argv[1:] = request["arguments"]
    sys.path[0] = request["cwd"]
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run(forked())
