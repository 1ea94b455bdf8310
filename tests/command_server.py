"""Processes of Python modules, each forked from a process that has imported their libraries.

That import takes three quarters of a short command's time, and four seconds where a process computes. The project's own
modules are imported by each process, for some read the environment then. A run's fork server is forked here too. Some
tests end to end start Python anew, as users do.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = (
    *("google.cloud.aiplatform_v1", "google.cloud.storage", "kfp.client", "kfp.dsl.executor", "kfp.kubernetes"),
    *("keras", "PIL.Image", "pydantic", "rich.console", "sklearn.linear_model", "sklearn.metrics", "tensorflow"),
    *("tensorflow_datasets", "typer"),
)
LONGEST_SECONDS = 600
FORK_SERVER = "pipeline.local.server"


class CommandServer:
    """The process that forks, which runs nothing with TensorFlow: what is forked from it couldn't, then.

    Args:
        home: Its home, where kfp would keep its context.
    """

    def __init__(self, home):
        self.home = home
        own = {"HOME": str(home), "KERAS_HOME": f"{home}-keras", "MPLCONFIGDIR": f"{home}-fonts"}
        self._environment = {**os.environ, **own}

    @functools.cached_property
    def _requests(self):
        """Where processes are asked for. It starts the process that forks, which most tests do without."""
        requests, theirs = connected()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, env=self._environment, pass_fds=[theirs.fileno()])
        return requests

    def run(self, *arguments, env, folder=None, errors_apart=True):
        """Run python -m pipeline with arguments in an environment and a folder, by default in this one."""
        module = ["pipeline", *map(str, arguments)]
        with contextlib.ExitStack() as stack:
            nothing, output, errors = (
                stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3)
            )
            streams = [nothing, output, errors if errors_apart else output]
            code = Forked(self._requests, module, env, folder, [stream.fileno() for stream in streams]).wait()
            for stream in (output, errors):
                stream.seek(0)
            return subprocess.CompletedProcess(module, code, output.read(), errors.read())

    def start_module(self, module, output, environment, folder=""):
        """As components.common.forked.start_module."""
        read, write = os.pipe()
        process = Forked(self._requests, module, environment, folder, [read, output, output])
        os.close(read)
        process.stdin = os.fdopen(write, "wb")
        return process

    def stop(self):
        """End it."""
        if "_requests" in vars(self):
            self._requests.close()
            self._process.wait()


class Forked:
    """A process of python -m, with methods of `subprocess.Popen`.

    Args:
        requests: Where it is asked for.
        module: The module and its arguments.
        environment: All its environment variables.
        folder: Its folder, by default this process'.
        streams: Descriptors of its input, output and errors.
        kept: Descriptors that it has under the same numbers.
    """

    def __init__(self, requests, module, environment, folder, streams, kept=()):
        self._told, theirs = connected()
        request = [module, dict(environment), str(folder or Path.cwd()), list(kept)]
        with theirs:
            socket.send_fds(requests, [json.dumps(request).encode()], [theirs.fileno(), *streams, *kept])
        self.pid, self.returncode = int(self._told.recv(100)), None

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("python -m", timeout)
            self.returncode = int(self._told.recv(100))
        return self.returncode

    def poll(self):
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def connected():
    """Two ends of a connection that keeps messages apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def serve(requests):
    """Fork for each request; give it, and where more can be asked for, to the process that was forked."""
    # It sets what TensorFlow reads.
    runpy.run_path(str(Path(__file__).parent.parent / "components" / "__init__.py"))
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    inner, outer = connected()
    while True:
        for ready in select.select([requests, inner], [], [])[0]:
            request, descriptors, _, _ = socket.recv_fds(ready, 1 << 20, 5)
            if not request:
                raise SystemExit
            if not os.fork():
                requests.close()
                inner.close()
                told = socket.socket(fileno=descriptors.pop(0))
                if pid := os.fork():
                    _wait(pid, told, descriptors)
                told.close()
                return outer, json.loads(request), descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(ChildProcessError):  # there is none any more
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _wait(pid, told, descriptors):
    """Tell the process id and the exit code of the process that was asked for."""
    for descriptor in descriptors:
        os.close(descriptor)
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
        told.send(str(pid).encode())
        told.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def be(requests, request, descriptors):
    """Be the process that was asked for."""
    (module, *arguments), environment, folder, kept = request

    class Popen(subprocess.Popen):
        def __new__(cls, command, **options):
            if FORK_SERVER not in command:
                return super().__new__(cls)
            asked = command[command.index(FORK_SERVER) :]
            with Path(os.devnull).open("rb+") as none:
                return Forked(requests, asked, options["env"], None, [none.fileno()] * 3, options["pass_fds"])

    subprocess.Popen = Popen
    os.setsid()
    signal.alarm(LONGEST_SECONDS)
    for descriptor, number in zip(descriptors, [0, 1, 2, *kept], strict=True):
        os.dup2(descriptor, number)
    for descriptor in set(descriptors).difference(kept):
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv[1:] = arguments
    sys.path[:1] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    be(*serve(socket.socket(fileno=int(sys.argv[1]))))
