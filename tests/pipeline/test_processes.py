"""Tasks' processes, on modules in place of tasks: TensorFlow is imported where a test asks for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from processes import alive

from pipeline.local.processes import ROOT, Processes
from pipeline.local.stopping import Stopped, stoppable

PROGRAMS = {
    "told": (
        "import os, sys\nfrom os import environ, getcwd\n"
        "print(*sys.argv[1:], environ['WORD'], getcwd(), 'kfp.dsl.executor' in sys.modules)\n"
    ),
    "ends": "import os, sys\nsys.exit(int(sys.argv[1])) if sys.argv[1].isdigit() else os.kill(os.getpid(), 9)\n",
    "writes": "import tempfile\nprint(tempfile.mkdtemp())\nopen(tempfile.mkstemp()[1], 'w').close()\n",
    "starts": (
        "import subprocess, sys\nfrom components.common.forked import python\ncommand, passed = python()\n"
        "print(len(command))\n"
        "print(subprocess.run([*command, '-m', *sys.argv[1:]], pass_fds=passed, stdout=subprocess.PIPE, text=True))\n"
    ),
    # With a child of its own, and one that is forked for it.
    "waits": (
        "import subprocess, time\nfrom components.common.forked import python\ncommand, passed = python()\n"
        "subprocess.Popen(['sleep', '1000'])\nsubprocess.Popen([*command, '-m', 'sleeps'], pass_fds=passed)\n"
        "time.sleep(1000)\n"
    ),
    "sleeps": "import time\nprint('all there', flush=True)\ntime.sleep(1000)\n",
    "leaves": "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nprint('over')\n",
    "saves": (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), exit(143)))\n"
        "print('all there', flush=True)\ntime.sleep(1000)\n"
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the programs, a quote and a command of a shell in its name."""
    folder = tmp_path / 'a "shell" $(touch X)'
    (folder / "scratch").mkdir(parents=True)
    for name, program in PROGRAMS.items():
        (folder / f"{name}.py").write_text(program)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WORD", "here")
    return folder


@pytest.fixture
def processes(here):
    """Processes of tasks, closed in the end."""
    with closing(Processes(here / "scratch")) as started:
        yield started


def run(processes, *command, name="task"):
    said = []
    return processes.run("", name, list(command), said.append), said


def module(*arguments):
    return [sys.executable, "-m", *arguments]


def test_a_task_is_forked_and_reads_its_code_anew(processes, here):
    assert run(processes, *module("told", "a", "b c")) == (0, [f"a b c here {here} True"])
    (here / "told.py").write_text("print('changed')")
    assert run(processes, *module("told")) == (0, ["changed"])


def test_how_it_ends_is_known(processes):
    assert run(processes, *module("ends", "3"))[0] == 3
    assert run(processes, *module("ends", "killed"))[0] == -signal.SIGKILL
    code, said = run(processes, *module("not_there"))
    assert (code, said[-1]) == (1, "ImportError: No module named not_there")


def test_tensorflow_is_imported_where_that_was_asked_for(processes, here):
    (here / "told.py").write_text("import sys\nprint('tensorflow' in sys.modules)\n")
    assert run(processes, *module("told")) == (0, ["False"])
    processes.get_ready()
    assert run(processes, *module("told")) == (0, ["True"])


def test_another_command_runs_as_it_stands(processes, here):
    """The shell that a command names sees the project's path as an argument alone."""
    assert run(processes, "sh", "-c", 'printf "%s\\n" "$0"; exit 4', str(here)) == (4, [str(here)])
    assert not (here / "X").exists()


def test_a_python_that_a_task_starts_is_forked_too(processes):
    code, said = run(processes, *module("starts", "told", "x"))
    assert (code, said[0]) == (0, "5")
    assert "returncode=0" in said[1] and "True" in said[1]
    assert "returncode=137" in run(processes, *module("starts", "ends", "killed"))[1][1]


def test_what_a_task_leaves_in_the_temporary_folder_goes_with_it(processes, here):
    (name,) = run(processes, *module("writes"))[1]
    assert name.startswith(str(here / "scratch"))
    assert {path.name for path in (here / "scratch").iterdir()} == {"forks.log"}


def test_what_a_task_leaves_running_is_ended(processes):
    session = processes.pid
    assert run(processes, *module("leaves")) == (0, ["over"])
    until(lambda: not any("sleep" in command for command in alive(str(session))))


def test_a_server_that_was_killed_is_started_again(processes):
    os.kill(processes.pid, signal.SIGKILL)
    os.waitid(os.P_PID, processes.pid, os.WEXITED | os.WNOWAIT)
    assert run(processes, *module("ends", "3"))[0] == 3


def test_a_task_that_is_stopped_has_the_time_to_save(processes):
    said = []

    def follow(line):
        said.append(line)
        if line == "all there":
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()

    with pytest.raises(Stopped), stoppable():
        processes.run("", "task", module("saves"), follow)
    assert said == ["all there", "saved"]


STARTER = """
import os, sys
from pathlib import Path
from pipeline.local.processes import Processes
processes = Processes(Path("scratch"))
print(processes.pid, flush=True)
if sys.argv[1] == "task":
    processes.run("", "task", [sys.executable, "-m", "waits"], lambda line: print(line, flush=True))
sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", ["the run", "the run and the server"])
@pytest.mark.parametrize("phase", ["idle", "task"])
def test_when_the_run_is_killed_nothing_stays(here, killed, phase):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, phase],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    session = starter.stdout.readline().strip()
    if phase == "task":
        assert starter.stdout.readline() == "all there\n"
        assert len(alive(session)) == 5, alive(session)
    if killed == "the run and the server":
        os.kill(int(session), signal.SIGKILL)
    starter.kill()
    starter.wait()
    until(lambda: not alive(session))


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
