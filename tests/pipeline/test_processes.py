"""Tasks' processes, on modules in place of tasks: TensorFlow is imported where a test asks for it."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from multiprocessing import connection
from pathlib import Path

import pytest
from processes import alive

from pipeline.local.failure import KILLED, failure
from pipeline.local.processes import Running, stop, wait
from pipeline.local.server import ROOT, Server

PROGRAMS = {
    "told": (
        "import os, sys\nfrom os import environ, getcwd\n"
        "print(*sys.argv[1:], environ['WORD'], getcwd(), 'kfp.dsl.executor' in sys.modules)\n"
    ),
    "ends": "import os, sys\nsys.exit(int(sys.argv[1])) if sys.argv[1].isdigit() else os.kill(os.getpid(), 9)\n",
    "writes": "import tempfile\nprint(tempfile.mkdtemp())\nopen(tempfile.mkstemp()[1], 'w').close()\n",
    "starts": (
        "import os, sys\nfrom components.common.forked import start_module\n"
        "process = start_module(sys.argv[1:], 1, dict(os.environ))\n"
        "print(type(process).__name__, process.wait())\n"
    ),
    # With a child of its own, and one that is forked for it.
    "waits": (
        "import os, subprocess, time\nfrom components.common.forked import start_module\n"
        "subprocess.Popen(['sleep', '1000'])\nprocess = start_module(['sleeps'], 1, dict(os.environ))\n"
        "time.sleep(1000)\n"
    ),
    "sleeps": "import time\nprint('all there', flush=True)\ntime.sleep(1000)\n",
    "leaves": "import subprocess\nsubprocess.Popen(['sleep', '1234'])\nprint('over')\n",
    "saves": (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'saved\\n'), exit(143)))\n"
        "print('all there', flush=True)\ntime.sleep(1000)\n"
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the programs, a quote and a command of a shell in its name."""
    folder = tmp_path / 'a "shell" $(touch X)'
    folder.mkdir()
    for name, program in PROGRAMS.items():
        (folder / f"{name}.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WORD", "here")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def server(here):
    with Server() as server:
        yield server


def run(server, here, *command, **more):
    """A command's exit code, and the lines that it printed."""
    task = Running(server, list(command), here / "scratch", here / "log", here / "events", **more)
    while task.read():
        pass
    return task.end(), task.last_lines()


def module(*arguments):
    return [sys.executable, "-m", *arguments]


def test_a_task_is_forked_and_reads_its_code_anew(server, here):
    assert run(server, here, *module("told", "a", "b c")) == (0, [f"a b c here {here} True"])
    (here / "told.py").write_text("print('changed')")
    assert run(server, here, *module("told")) == (0, ["changed"])
    assert (here / "log").read_text() == f"a b c here {here} True\nchanged\n"


def test_how_it_ends_is_known(server, here):
    assert run(server, here, *module("ends", "3"))[0] == 3
    assert run(server, here, *module("ends", "killed"))[0] == -signal.SIGKILL
    code, said = run(server, here, *module("not_there"))
    assert (code, said[-1]) == (1, "ImportError: No module named not_there")


def test_tensorflow_is_imported_where_that_was_asked_for(server, here):
    (here / "told.py").write_text("import sys\nprint('tensorflow' in sys.modules)\n")
    server.preload()
    assert run(server, here, *module("told")) == (0, ["True"])


def test_gpus_are_for_the_tasks_that_may_use_them(server, here, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    (here / "told.py").write_text("import os\nprint(os.environ['CUDA_VISIBLE_DEVICES'])\n")
    assert run(server, here, *module("told"), gpus=True) == (0, ["2"])
    assert run(server, here, *module("told")) == (0, ["-1"])


def test_another_command_runs_as_it_stands(server, here):
    """The shell that a command names sees the project's path as an argument alone."""
    assert run(server, here, "sh", "-c", 'printf "%s\\n" "$0"; exit 4', str(here)) == (4, [str(here)])
    assert not (here / "X").exists()


def test_a_module_that_a_task_starts_is_forked_too(server, here):
    code, (said, end) = run(server, here, *module("starts", "told", "x"))
    assert (code, said, end) == (0, f"x here {here} True", "Forked 0")
    assert run(server, here, *module("starts", "ends", "killed"))[1] == ["Forked -9"]


def test_what_a_task_leaves_in_the_temporary_folder_goes_with_it(server, here):
    (name,) = run(server, here, *module("writes"))[1]
    assert name.startswith(str(here / "scratch"))
    assert not (here / "scratch").exists()


def test_what_a_task_leaves_running_is_ended(server, here):
    task = Running(server, module("leaves"), here / "scratch", here / "log", here / "events")
    assert task.read()
    assert connection.wait([task.sentinel], 60)
    assert alive(text="sleep 1234")
    assert (task.end(), task.last_lines()) == (0, ["over"])
    until(lambda: not alive(text="sleep 1234"))


def test_a_task_whose_server_was_killed_has_failed_and_the_next_one_starts(server, here):
    task = Running(server, module("sleeps"), here / "scratch", here / "log", here / "events")
    assert task.read()
    server._process.kill()
    assert connection.wait([task.sentinel], 60)
    assert task.end() == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{task.pid}").exists())
    assert run(server, here, *module("ends", "3"))[0] == 3


def test_a_task_whose_server_is_killed_before_it_forks_has_failed_and_the_next_one_starts(server, here):
    os.kill(server._process.pid, signal.SIGSTOP)

    def kill():
        until(lambda: struct.unpack("i", fcntl.ioctl(server._requests, termios.TIOCOUTQ, bytes(4)))[0])
        server._process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    task = Running(server, module("sleeps"), here / "scratch", here / "log", here / "events")
    killer.join()
    assert_killed(task)
    assert run(server, here, *module("ends", "3"))[0] == 3


def test_a_task_whose_server_ends_while_it_is_asked_has_failed(server, here, monkeypatch):
    """It is killed after the run has looked whether it is there."""
    server._process.kill()
    server._process.wait()
    with monkeypatch.context() as before:
        before.setattr(server._process, "poll", lambda: None)
        task = Running(server, module("sleeps"), here / "scratch", here / "log", here / "events")
    assert_killed(task)
    assert run(server, here, *module("ends", "3"))[0] == 3


def assert_killed(task):
    task.signal(signal.SIGTERM)
    assert wait([task], 60) == [task]
    assert str(failure(task.end(), task.last_lines())) == KILLED


def test_what_runs_is_ended_when_the_server_is_closed(here):
    """As after a second Ctrl-C."""
    with Server() as server:
        task = Running(server, module("waits"), here / "scratch", here / "log", here / "events")
        assert task.read()
        assert connection.wait([task.sentinel], 0) == []
    assert connection.wait([task.sentinel], 60)
    assert task.end() == -signal.SIGKILL


def test_tasks_that_are_stopped_have_the_time_to_save_all_the_same_time(server, here):
    tasks = [
        Running(server, module("saves"), here / f"scratch{i}", here / f"log{i}", here / "events") for i in range(3)
    ]
    for task in tasks:
        assert task.read()
    tasks[1].signal(signal.SIGSTOP)
    stop(tasks)
    assert [(here / f"log{i}").read_text() for i in range(3)] == ["all there\nsaved\n"] * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_of_the_terminal_is_for_the_run_alone(here, number):
    """A terminal sends it to the group of processes of the run."""
    (here / "starter.py").write_text(TERMINAL)
    done = subprocess.run(
        [sys.executable, "starter.py", str(int(number))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        process_group=0,
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, ["3", "True"]), done.stderr


TERMINAL = """
import os, signal, sys
from pathlib import Path
from pipeline.local.processes import Running
from pipeline.local.server import Server
number = int(sys.argv[1])
with Server() as server:
    before = server._process.pid
    signal.signal(number, lambda *_: None)
    os.killpg(0, number)
    task = Running(server, [sys.executable, "-m", "ends", "3"], Path("scratch"), Path("log"), Path("events"))
    while task.read():
        pass
    print(task.end(), server._process.pid == before, sep="\\n")
"""

STARTER = """
import os, signal, sys
from pathlib import Path
from pipeline.local.processes import Running
from pipeline.local.server import Server
server = Server()
print("idle", flush=True)
if sys.argv[1] != "idle":
    task = Running(server, [sys.executable, "-m", "waits"], Path("scratch"), Path("log"), Path("events"))
    task.read()
    if sys.argv[1] == "stopped":
        task.signal(signal.SIGSTOP)
    print(task.last_lines()[0], flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", ["the run", "the run and the server"])
@pytest.mark.parametrize("phase", ["idle", "task", "stopped"])
def test_when_the_run_is_killed_nothing_stays(here, killed, phase):
    # A script that has no `if __name__ == "__main__"`.
    (here / "starter.py").write_text(STARTER)
    starter = subprocess.Popen(
        [sys.executable, "starter.py", phase],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert starter.stdout.readline() == "idle\n"
    if phase != "idle":
        assert starter.stdout.readline() == "all there\n"
        # Beside the run: the server, the task with two children.
        assert len(alive(str(starter.pid))) == 5, alive(str(starter.pid))
    if killed == "the run and the server":
        children = subprocess.run(["pgrep", "-P", str(starter.pid)], capture_output=True, text=True, check=True).stdout
        for child in children.split():
            os.kill(int(child), signal.SIGKILL)
    starter.kill()
    starter.wait()
    until(lambda: not alive(str(starter.pid)))


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
