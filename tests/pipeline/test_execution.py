"""Tasks side by side, on small modules in place of the steps: no TensorFlow."""

import itertools
import json
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import alive
from rich.console import Console

from pipeline.local.execution import MEMORY, TASKS, Execution
from pipeline.local.failure import Stopped, stoppable
from pipeline.local.processes import Running
from pipeline.local.reasons import Basis, remember
from pipeline.local.schedule import default_jobs
from pipeline.local.server import ROOT, Server
from pipeline.local.tasks import Task
from pipeline.terminal.display import Display

PROGRAMS = {
    "notes": """
import os, sys, time
def note(what):
    with open("notes", "a") as file:
        file.write(f"{what} {sys.argv[1]}\\n")
note("begin")
time.sleep(0.2)
note("end")
""",
    "fails": "import time, os\nwhile not os.path.exists('others'):\n    time.sleep(0.01)\nraise ValueError('lost')\n",
    "refuses": "from components.common.errors import InputError\nraise InputError('this')\n",
    "lasts": """
import os, signal, sys, time
from components.common.events import progress
def save(*_):
    open("saved-" + sys.argv[1], "w").close()
    os._exit(143)
signal.signal(signal.SIGTERM, save)
progress("epoch 2/9")
open("others", "w").close()
time.sleep(1000)
""",
    "hungry": """
import os, sys, time
with open("tries", "a") as file:
    file.write("try\\n")
while len(open("notes").readlines()) < 1:
    time.sleep(0.01)
if len(open("tries").readlines()) < int(sys.argv[1]):
    os.kill(os.getpid(), 9)
""",
    "counts": """
import os, time
end = time.monotonic() + 100
with open("count", "wb", buffering=0) as file:
    while not os.path.exists("enough") and time.monotonic() < end:
        file.write(b"x")
""",
    "measures": """
import json, os, sys, time
from components.common.events import measured_alone
def changes(seconds=60):
    end, before = time.monotonic() + seconds, os.path.getsize("count")
    while time.monotonic() < end and os.path.getsize("count") == before:
        time.sleep(0.01)
    return os.path.getsize("count") > before
while not os.path.exists("count"):
    time.sleep(0.01)
said = [changes()]
for _ in range(2):
    with measured_alone():
        said.append(changes(0.5))
    said.append(changes())
with open("said", "w") as file:
    json.dump(said, file)
open("enough", "w").close()
""",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, program in PROGRAMS.items():
        (tmp_path / f"{name}.py").write_text(program)
    (tmp_path / "work" / TASKS).mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def task(name, *module, needs=(), optional=()):
    return Task(
        name=name,
        needs=list(needs),
        optional=frozenset(optional),
        parameters={},
        artifacts={},
        component={},
        image="",
        command=[sys.executable, "-m", *module],
        cached=True,
    )


_number = itertools.count()


def execution(server, here, *tasks, cores=2, jobs=9, threads=None, **options):
    """An execution that is ready to run, and its display."""
    (here / f"run{next(_number)}" / "logs").mkdir(parents=True)
    folder = max(here.glob("run*"), key=lambda path: int(path.name[3:]))

    def start(task, command, log, events):
        return Running(server, command, here / f"scratch-{task.name}", log, events)

    display = Display([task.name for task in tasks], Console(file=(here / "screen").open("w"), width=110))
    by_name, threads = {task.name: task for task in tasks}, {task.name: 1 for task in tasks} | (threads or {})
    return Execution(folder, here / "work", by_name, {}, {}, cores, jobs, threads, start, display, **options)


def notes(here):
    return [tuple(line.split()) for line in (here / "notes").read_text().splitlines()]


def most(noted, threads):
    """The most threads, and the most tasks, that ran at a time."""
    running, found = [], [(0, 0)]
    for what, name in noted:
        running.append(name) if what == "begin" else running.remove(name)
        found.append((sum(threads.get(name, 1) for name in running), len(running)))
    return tuple(map(max, zip(*found, strict=True)))


NAMES = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("cores", "jobs", "threads", "expected"),
    [
        (2, 9, {}, (2, 2)),
        (4, 9, {}, (4, 4)),
        (4, 3, {}, (3, 3)),
        (4, 1, {}, (1, 1)),
        (4, 9, {"a": 4, "b": 3, "c": 2}, (4, 3)),
        (2, 9, {"a": 9}, (9, 2)),
    ],
)
def test_what_runs_never_has_more_threads_than_there_are_cores(server, here, cores, jobs, threads, expected):
    run = execution(server, here, *(task(n, "notes", n) for n in NAMES), cores=cores, jobs=jobs, threads=threads)
    assert run.run()
    noted = notes(here)
    assert len(noted) == 2 * len(NAMES)
    found = most(noted, threads)
    assert found[0] <= max(cores, *threads.values(), 1) and found[1] <= jobs
    assert found == expected or cores > 2, "as many as there is room for"


def test_a_task_starts_after_those_that_it_needs_and_is_taken_from_the_cache_later(server, here):
    tasks = [task("a", "notes", "a"), task("b", "notes", "b"), task("c", "notes", "c", needs=["a", "b"])]
    assert execution(server, here, *tasks).run()
    assert {name for what, name in notes(here)[:4]} == {"a", "b"}
    assert notes(here)[4:] == [("begin", "c"), ("end", "c")]
    again = execution(server, here, *tasks)
    assert again.run()
    assert len(notes(here)) == 6
    assert {line.state for line in again.display.lines.values()} == {"cached"}


def test_the_longest_way_to_the_end_goes_first(server, here):
    """As far as it is known from the run before."""
    took = {"a": 1.0, "b": 5.0, "c": 2.0, "d": 9.0}
    before = {n: Basis(image="", command="", parameters={}, inputs={}, seconds=s) for n, s in took.items()}
    remember(here / "work" / MEMORY, before)
    tasks = [task("a", "notes", "a"), task("b", "notes", "b"), task("c", "notes", "c")]
    assert execution(server, here, *tasks, task("d", "notes", "d", needs=["a"]), cores=1).run()
    assert [name for what, name in notes(here) if what == "begin"] == ["a", "d", "b", "c"]


def test_nothing_else_computes_while_a_task_measures(server, here):
    """Twice in one task. Before, between and after, the other one goes on counting."""
    assert execution(server, here, task("counts", "counts"), task("measures", "measures")).run()
    assert json.loads((here / "said").read_text()) == [True, False, True, False, True]


@pytest.mark.parametrize("keep_going", [True, False])
def test_what_does_not_need_a_task_that_refused_its_input_goes_on_if_asked_to(server, here, keep_going):
    tasks = [task("a", "refuses"), task("b", "notes", "b")]
    run = execution(server, here, *tasks, jobs=1, keep_going=keep_going)
    assert run.run() == keep_going
    assert run.failures["a"].refused
    assert ("b" in run.outputs) == keep_going


def test_a_task_that_ends_while_it_measures_lets_the_others_go_on(server, here):
    (here / "dies.py").write_text(
        "import os\nfrom components.common.events import measured_alone\nmeasured_alone().__enter__()\nos._exit(3)\n"
    )
    assert not execution(server, here, task("a", "notes", "a"), task("b", "dies"), keep_going=True).failures
    run = execution(server, here, task("a", "notes", "a"), task("b", "dies"), keep_going=True)
    assert run.run()
    assert notes(here)[-1] == ("end", "a")
    assert str(run.failures["b"]) == "it ended with exit code 3"


def test_several_that_want_to_measure_do_it_one_after_the_other(server, here):
    (here / "both.py").write_text(
        "import sys, time\nfrom components.common.events import measured_alone\n"
        "def note(what):\n    with open('notes', 'a') as file:\n        file.write(f'{what} {sys.argv[1]}\\n')\n"
        "for _ in range(3):\n    with measured_alone():\n        note('begin'); time.sleep(0.1); note('end')\n"
    )
    assert execution(server, here, *(task(name, "both", name) for name in "abc"), cores=3).run()
    assert len(notes(here)) == 18
    assert most(notes(here), {})[1] == 1


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_failure_beside_another_task(server, here, keep_going):
    """What runs is stopped, and has time to save, unless the run shall go on."""
    other = task("b", "notes", "b") if keep_going else task("b", "lasts", "b")
    if keep_going:
        (here / "others").touch()
    report = task("report", "notes", "report", needs=["a", "b", "c"], optional=["a", "b", "c"])
    run = execution(
        server, here, task("a", "fails"), other, task("c", "notes", "c", needs=["b"]), report, keep_going=keep_going
    )
    assert run.run() is keep_going
    assert str(run.failures["a"]) == "ValueError: lost"
    assert (here / "saved-b").exists() is not keep_going
    states = {name: line.state for name, line in run.display.lines.items()}
    expected = "done" if keep_going else "skipped"
    assert states["b"] == expected and states["report"] == "done"
    assert ("end", "c") in notes(here) or not keep_going
    assert not alive(text=str(here))


@pytest.mark.parametrize(("tries", "beside", "fails"), [(2, True, False), (9, True, True), (2, False, True)])
def test_a_task_that_was_killed_for_memory_is_tried_once_more_alone(server, here, tries, beside, fails):
    tasks = [task("a", "hungry", str(tries)), *([task("b", "notes", "b")] if beside else [])]
    (here / "notes").write_text("" if beside else "begin x\n")
    run = execution(server, here, *tasks)
    assert run.run() is not fails
    message = "it was ended by SIGKILL, as the kernel does when memory runs out"
    assert [str(failure) for failure in run.failures.values()] == [message] * fails
    assert len((here / "tries").read_text().splitlines()) == (2 if beside else 1)
    assert run.display.lines["a"].why == (
        "first time" if not beside else f"{message}, so it has the machine for itself"
    )


def test_ctrl_c_ends_all_and_all_have_saved(server, here):
    run = execution(server, here, *(task(name, "lasts", name) for name in "abc"), cores=3)

    def interrupt():
        while sum(line.message == "epoch 2/9" for line in run.display.lines.values()) < 3:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(Stopped), stoppable():
        run.run()
    assert sorted(path.name for path in here.glob("saved-*")) == ["saved-a", "saved-b", "saved-c"]
    assert not list(here.glob("scratch-*"))


def test_progress_is_an_event_and_its_line_is_in_the_log(server, here):
    (here / "tells.py").write_text("from components.common.events import progress\nprogress('épreuve 1')\n")
    run = execution(server, here, task("a", "tells"))
    assert run.run()
    assert run.display.lines["a"].message == "épreuve 1"
    (log,) = Path(run.folder).glob("logs/a.log")
    assert log.read_text() == "épreuve 1\n"


@pytest.mark.parametrize(
    ("available", "limit", "anonymous", "expected"),
    [(64_000_000, None, 0, 8), (4_000_000, None, 0, 2), (400_000, None, 0, 1),
     (64_000_000, 5_000_000_000, 400_000_000, 3),
     (64_000_000, "max", 0, 8), (None, None, 0, 8)],
)  # fmt: skip
def test_as_many_run_as_memory_has_room_for(tmp_path, available, limit, anonymous, expected):
    """Linux' files, of the machine in kB and of a container in bytes, where pages of files don't count."""
    if available:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {available} kB\n")
    if limit:
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{limit}\n")
        (tmp_path / "sys/fs/cgroup/memory.stat").write_text(f"anon {anonymous}\nfile 4000000000\n")
    assert default_jobs(8, tmp_path) == expected
