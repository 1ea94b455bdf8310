"""Run the tasks of a compiled pipeline, each as soon as what it needs is there and the machine has room."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from components.common.files import write_text
from components.report.run_section import TaskRun
from pipeline.local import cache
from pipeline.local.cache import DamagedError, Outputs
from pipeline.local.damage import remove
from pipeline.local.failure import Failure, failure
from pipeline.local.processes import Running, stop
from pipeline.local.reasons import Basis, remember, remembered, why
from pipeline.local.schedule import next_task, ranks
from pipeline.local.tasks import Task, arguments, command, executor_input
from pipeline.runs import ledger
from pipeline.terminal.display import Display

OUTPUTS = "outputs"
TASKS = "tasks"
MEMORY = "tasks.json"
# These tasks run after a failure as well, and report the results that there are.
REPORTING = ("compare", "report")
# A running task's file of events is looked at so often.
POLL_SECONDS = 0.05
# What a task is expected to take that never ran before.
SECONDS_FILE = "seconds.json"
SECONDS = {"tune": 60.0, "train": 20.0, "export": 4.0, "evaluate": 2.0}
_SECONDS = TypeAdapter(dict[str, float])


@dataclass(frozen=True)
class Machine:
    """What the tasks of a run have.

    Attributes:
        cores: The cores.
        jobs: The most tasks at a time.
        threads: The threads of each task.
        start: Starts a command: the task, the command, its events' file, its log.
    """

    cores: int
    jobs: int
    threads: dict[str, int]
    start: Callable[[Task, list[str], Path, Path], Running]


@dataclass(frozen=True)
class _Ready:
    """A task that waits for its turn: the values and artifacts that it takes, its outputs' folder, why it runs."""

    task: Task
    values: dict[str, Any]
    inputs: dict[str, tuple[Path, cache.Artifact]]
    folder: Path
    reason: str


@dataclass
class _Under:
    """A task under way.

    Attributes:
        ready: What it was before.
        executor: Its ExecutorInput.
        running: Its process.
        started: The time of its start, by the monotonic clock.
        beside: Whether another task ran at the same time.
        prints: Whether its output is open.
        heard: The bytes of its events that were read.
    """

    ready: _Ready
    executor: dict[str, Any]
    running: Running
    started: float = field(default_factory=time.monotonic)
    beside: bool = False
    prints: bool = True
    heard: int = 0

    @property
    def events(self) -> Path:
        """The file that it tells its events in."""
        return self.ready.folder / "events"

    def told(self) -> list[dict[str, Any]]:
        """What it told since the last time."""
        if not self.events.exists() or self.events.stat().st_size == self.heard:
            return []
        with self.events.open("rb") as file:
            file.seek(self.heard)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.heard += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Execution:
    """The tasks of a run.

    Attributes:
        folder: The run's folder.
        outputs: The outputs of each finished task, by the task's name.
        failures: The failure of each failed task, by the task's name.
    """

    def __init__(
        self,
        folder: Path,
        work: Path,
        tasks: dict[str, Task],
        code: dict[str, dict[str, str]],
        parameters: dict[str, Any],
        machine: Machine,
        display: Display,
        verify_cache: bool = False,
        keep_going: bool = False,
    ) -> None:
        self.folder = folder
        self.outputs: dict[str, Outputs] = {}
        self.failures: dict[str, Failure] = {}
        self._work, self._tasks, self._code, self._parameters = work, tasks, code, parameters
        self._machine, self._display = machine, display
        self._verify_cache, self._keep_going = verify_cache, keep_going
        self._folders: dict[str, Path] = {}
        self._memory = remembered(work / MEMORY)
        self._seconds = _expected(work / SECONDS_FILE, tasks)
        self._threads = {name: machine.threads.get(name, 1) for name in tasks}
        self._rank = ranks({task.name: task.needs for task in tasks.values()}, self._seconds)
        self._waiting, self._ready, self._running = dict(tasks), dict[str, _Ready](), dict[str, _Under]()
        self._measuring: list[tuple[str, int]] = []
        self._ended = False

    def run(self) -> bool:
        """Run each task whose outputs aren't there. Returns False where a failure ended the run."""
        try:
            while True:
                self._settle()
                while not self._measuring and (name := self._next()):
                    self._start(self._ready.pop(name))
                if not self._running:
                    return not self._ended
                self._wait()
        except BaseException:
            stop(under.running for under in self._running.values())
            raise

    def folder_of(self, task: str) -> Path:
        """The folder of a task's outputs."""
        return self._folders[task]

    def path(self, task: str, artifact: str) -> Path:
        """The path of a task's output artifact."""
        return self.folder_of(task) / self.outputs[task].artifacts[artifact].path

    def task_runs(self) -> list[TaskRun]:
        """The state, duration and reason of each task."""
        lines = self._display.lines
        return [
            TaskRun(
                name=name,
                needs=[need for need in task.needs if need in self._tasks],
                state=lines[name].state,
                seconds=lines[name].seconds,
                why=lines[name].message if lines[name].state == "failed" else lines[name].why,
            )
            for name, task in self._tasks.items()
        ]

    def _next(self) -> str | None:
        machine = self._machine
        return next_task(self._ready, self._running, self._threads, self._rank, machine.cores, machine.jobs)

    def _settle(self) -> None:
        """Take from earlier runs what is there, and find the tasks that can start."""
        # Tasks come after those that they need, so one pass is enough.
        for name, task in list(self._waiting.items()):
            if any(need in self._waiting or need in self._ready or need in self._running for need in task.needs):
                continue
            del self._waiting[name]
            if self.outputs.keys() >= set(task.needs) - task.optional:
                self._reuse(task)

    def _reuse(self, task: Task) -> None:
        """Take a task's outputs from an earlier run, or make it ready to run."""
        failures = {name: str(failure) for name, failure in self.failures.items()}
        parameters = {**self._parameters, "failures": json.dumps(failures, sort_keys=True)}
        values = arguments(task, parameters, self.outputs)
        inputs = {
            name: (self._folders[producer], self.outputs[producer].artifacts[key])
            for name, (producer, key) in task.artifacts.items()
            if producer in self.outputs
        }
        basis = Basis(
            image=task.image,
            command=cache.digest(task.command),
            parameters=values,
            inputs={name: artifact.digest() for name, (_, artifact) in inputs.items()},
            code=self._code.get(task.name, {}),
        )
        before = self._memory.get(task.name)
        folder = self._folders[task.name] = self._work / OUTPUTS / TASKS / f"{task.name}-{basis.key()}"
        reason = "" if task.cached else "it runs every time"
        if task.cached:
            try:
                self.outputs[task.name] = cache.load_outputs(folder, self._verify_cache)
            except FileNotFoundError:
                pass
            except DamagedError as problem:
                reason = str(problem)
        reused = task.name in self.outputs
        if not reused and not self._may_run(task):
            return
        if before != basis:
            self._memory[task.name] = basis
            remember(self._work / MEMORY, self._memory)
        if reused:
            same = before is not None and before.key() == basis.key()
            self._display.cached(task.name, "nothing it depends on changed" if same else "as in an earlier run")
            return
        reason = reason or why(before, basis, {name: producer for name, (producer, _) in task.artifacts.items()})
        self._ready[task.name] = _Ready(task, values, inputs, folder, reason)

    def _may_run(self, task: Task) -> bool:
        """After a failure, only the tasks that report run, and none where the disk is full."""
        full = any(failure.full_disk for failure in self.failures.values())
        return not self._ended or (task.name in REPORTING and not full)

    def _start(self, ready: _Ready) -> None:
        task, folder = ready.task, ready.folder
        self._display.start(task.name, ready.reason)
        remove(folder)
        folder.mkdir()
        owner = folder.parent.stat()  # a container's user may be another one than this process'
        os.chown(folder, owner.st_uid, owner.st_gid)
        executor = executor_input(task, ready.values, ready.inputs, folder, self.folder.name)
        log = self.folder / "logs" / f"{task.name}.log"
        running = self._machine.start(task, command(task, executor), folder / "events", log)
        self._running[task.name] = _Under(ready, executor, running)
        if len(self._running) > 1:
            for under in self._running.values():
                under.beside = True

    def _wait(self) -> None:
        """Wait until a task prints something or ends, or until it is time to look at their events."""
        tasks = list(self._running.values())
        ends = [under.running.sentinel for under in tasks]
        outputs = [under.running.output for under in tasks if under.prints]
        ready = connection.wait([*ends, *outputs], POLL_SECONDS)
        for under in tasks:
            name = under.ready.task.name
            if name not in self._running:  # a failure ended it
                continue
            if under.running.output in ready:
                under.prints = under.running.read()
            for event in under.told():
                self._hear(name, event)
            if under.running.sentinel in ready:
                self._end(under)

    def _hear(self, name: str, event: dict[str, Any]) -> None:
        if text := event.get("progress"):
            self._display.progress(name, text)
        if number := event.get("measuring"):
            self._measuring.append((name, number))
            self._let_measure()
        elif number == 0:
            self._stop_measuring(name)

    def _let_measure(self) -> None:
        """Stop all tasks but the first one that wants to measure."""
        if not self._measuring:
            return
        name, number = self._measuring[0]
        for other, under in self._running.items():
            under.running.signal(signal.SIGCONT if other == name else signal.SIGSTOP)
        Path(f"{self._running[name].events}.{number}").touch()

    def _stop_measuring(self, name: str) -> None:
        if name not in [other for other, _ in self._measuring]:
            return
        self._measuring = [(other, number) for other, number in self._measuring if other != name]
        for under in self._running.values():
            under.running.signal(signal.SIGCONT)
        self._let_measure()

    def _end(self, under: _Under) -> None:
        task = under.ready.task
        del self._running[task.name]
        code = under.running.end()
        self._stop_measuring(task.name)
        failed = failure(code, under.running.last_lines()) if code else None
        if failed and failed.killed and under.beside:
            self._threads[task.name] = self._machine.cores
            self._ready[task.name] = replace(under.ready, reason=f"{failed}, so it has the machine for itself")
            return
        if failed is None:
            try:
                self.outputs[task.name] = cache.save_outputs(under.ready.folder, under.executor, task.component)
            except ValueError as error:
                failed = Failure(type(error).__name__, str(error))
        if failed is None:
            self._learn(task.name, time.monotonic() - under.started)
            if "evaluation" in self.outputs[task.name].artifacts:
                ledger.note(self.folder, self.path(task.name, "evaluation"), self.path(*task.artifacts["dataset"]))
            self._display.end(task.name, "done")
            return
        self.failures[task.name] = failed
        self._display.end(task.name, "failed", str(failed).splitlines()[0])
        if failed.refused or task.optional or not self._keep_going:
            self._end_run()

    def _end_run(self) -> None:
        """Start nothing more, and end what runs. A training saves a checkpoint first."""
        self._ended = True
        others, self._running = self._running, {}
        self._ready.clear()
        self._measuring.clear()
        stop(under.running for under in others.values())
        for name in others:
            self._display.end(name, "skipped", "it was stopped, for another task failed")

    def _learn(self, task: str, seconds: float) -> None:
        """Remember how long a task took, for the next run's order."""
        self._seconds[task] = round(seconds, 1)
        write_text(self._work / SECONDS_FILE, json.dumps(self._seconds))


def _expected(path: Path, tasks: Iterable[str]) -> dict[str, float]:
    """The seconds that each task took the last time, or that are expected of its step."""
    try:
        known = _SECONDS.validate_json(path.read_bytes())
    except (OSError, ValueError):
        known = {}
    return {task: known.get(task, SECONDS.get(task.partition("-")[0], 1.0)) for task in tasks}
