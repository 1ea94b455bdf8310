"""Run the tasks of a compiled pipeline, each as soon as what it needs is there and the machine has room."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.report.run_section import TaskRun
from pipeline.local import processes
from pipeline.local.cache import DamagedError, Outputs, digest, load_outputs, save_outputs
from pipeline.local.damage import remove
from pipeline.local.failure import KILLED, Failure, failure
from pipeline.local.processes import Running
from pipeline.local.reasons import Basis, remember, remembered, why
from pipeline.local.schedule import next_task, ranks
from pipeline.local.tasks import Task, arguments, command, executor_input
from pipeline.runs import ledger
from pipeline.terminal.display import Display

# The folder of all tasks' outputs in the experiment's working folder, and the file of what is remembered of them.
TASKS = Path("outputs/tasks")
MEMORY = "tasks.json"
# These tasks run after a failure as well, unless the disk is full, and report the results that there are.
REPORTING = ("compare", "report")
# A running task's file of events is looked at so often.
POLL_SECONDS = 0.05
# What a step's task is expected to take that never ran before.
SECONDS = {"tune": 60.0, "train": 20.0, "export": 4.0, "evaluate": 2.0}


@dataclass
class _Turn:
    """A task that waits for its turn, or runs."""

    task: Task
    basis: Basis
    folder: Path
    executor: dict[str, Any]
    reason: str
    beside: bool = False  # another task ran at the same time
    started: float = 0.0  # by the monotonic clock
    running: Running = field(init=False)


@dataclass
class Execution:
    """The tasks of a run.

    Attributes:
        folder: The run's folder.
        work: The experiment's folder of tasks' outputs.
        tasks: The tasks, by name, each after those that it needs.
        code: The digests of the files of each task's code.
        parameters: The values of the pipeline's parameters.
        cores: The cores of the machine.
        jobs: The most tasks at a time.
        threads: The threads of each task.
        start: Starts a task: the task, its command, its log, the file that it tells its events in.
        display: Shows the tasks.
        verify_cache: Compare the digests of all outputs of earlier runs.
        keep_going: Finish what doesn't depend on a failed task.
        outputs: The outputs of each finished task, by the task's name.
        failures: The failure of each failed task, by the task's name.
    """

    folder: Path
    work: Path
    tasks: dict[str, Task]
    code: dict[str, dict[str, str]]
    parameters: dict[str, Any]
    cores: int
    jobs: int
    threads: dict[str, int]
    start: Callable[[Task, list[str], Path, Path], Running]
    display: Display
    verify_cache: bool = False
    keep_going: bool = False
    outputs: dict[str, Outputs] = field(default_factory=dict, init=False)
    failures: dict[str, Failure] = field(default_factory=dict, init=False)

    def run(self) -> bool:
        """Run each task whose outputs aren't there. Returns False where a failure ended the run."""
        self._memory = remembered(self.work / MEMORY)
        seconds = {name: SECONDS.get(name.partition("-")[0], 1.0) for name in self.tasks}
        seconds |= {name: before.seconds for name, before in self._memory.items() if before.seconds is not None}
        self._rank = ranks({name: task.needs for name, task in self.tasks.items()}, seconds)
        self._waiting, self._ready, self._running = dict(self.tasks), dict[str, _Turn](), dict[str, _Turn]()
        # Those that wait until they may measure, with the number of the measurement; the first one measures.
        self._measuring = dict[str, int]()
        self._ended = False
        try:
            while True:
                self._settle()
                machine = self.threads, self._rank, self.cores, self.jobs
                while not self._measuring and (name := next_task(self._ready, self._running, *machine)):
                    self._start(self._ready.pop(name))
                if not self._running:
                    return not self._ended
                self._wait()
        except BaseException:
            processes.stop(turn.running for turn in self._running.values())
            raise

    def task_runs(self) -> list[TaskRun]:
        """The state, duration and reason of each task."""
        return [
            TaskRun(
                name=name,
                needs=[need for need in self.tasks[name].needs if need in self.tasks],
                state=line.state,
                seconds=line.seconds,
                why=line.message if line.state == "failed" else line.why,
            )
            for name, line in self.display.lines.items()
        ]

    def _settle(self) -> None:
        """Take from earlier runs what is there, and find the tasks that can start."""
        # Tasks come after those that they need, so one pass is enough.
        for name, task in list(self._waiting.items()):
            if set(task.needs).isdisjoint([*self._waiting, *self._ready, *self._running]):
                del self._waiting[name]
                if self.outputs.keys() >= set(task.needs) - task.optional:
                    self._reuse(task)

    def _reuse(self, task: Task) -> None:
        """Take a task's outputs from an earlier run, or make it ready to run."""
        failures = json.dumps({name: str(failure) for name, failure in self.failures.items()}, sort_keys=True)
        values = arguments(task, {**self.parameters, "failures": failures}, self.outputs)
        before = self._memory.get(task.name)
        basis = Basis(
            image=task.image,
            command=digest(task.command),
            parameters=values,
            inputs={
                name: self.outputs[producer].artifacts[key].digest()
                for name, (producer, key) in task.artifacts.items()
                if producer in self.outputs
            },
            code=self.code.get(task.name, {}),
            seconds=before.seconds if before else None,
        )
        folder = self.work / TASKS / f"{task.name}-{basis.key()}"
        reason = "it runs every time"
        if task.cached:
            try:
                self.outputs[task.name], reason = load_outputs(folder, self.verify_cache), ""
            except FileNotFoundError:
                reason = why(before, basis, {name: producer for name, (producer, _) in task.artifacts.items()})
            except DamagedError as problem:
                reason = str(problem)
        full = any(failure.full_disk for failure in self.failures.values())
        if reason and self._ended and (full or task.name not in REPORTING):
            return
        self._remember(task.name, basis)
        if reason:
            executor = executor_input(task, values, self.outputs, folder, self.folder.name)
            self._ready[task.name] = _Turn(task, basis, folder, executor, reason)
        else:
            same = before and before.key() == basis.key()
            self.display.cached(task.name, "nothing it depends on changed" if same else "as in an earlier run")

    def _remember(self, task: str, basis: Basis) -> None:
        if self._memory.get(task) != basis:
            self._memory[task] = basis
            remember(self.work / MEMORY, self._memory)

    def _start(self, turn: _Turn) -> None:
        task, folder = turn.task, turn.folder
        self.display.start(task.name, turn.reason)
        remove(folder)
        folder.mkdir()
        owner = folder.parent.stat()  # a container's user may be another one than this process'
        os.chown(folder, owner.st_uid, owner.st_gid)
        log = self.folder / "logs" / f"{task.name}.log"
        turn.running = self.start(task, command(task, turn.executor), log, folder / "events")
        turn.started = time.monotonic()
        self._running[task.name] = turn
        for each in self._running.values():
            each.beside |= len(self._running) > 1

    def _wait(self) -> None:
        """Wait until a task prints something or ends, or until it is time to look at their events."""
        turns = dict(self._running)
        ended = processes.wait([turn.running for turn in turns.values()], POLL_SECONDS)
        for name, turn in turns.items():
            if name not in self._running:  # a failure ended it
                continue
            for event in turn.running.told():
                if text := event.get("progress"):
                    self.display.progress(name, text)
                if (number := event.get("measuring")) is not None:
                    self._measure(name, number)
            if turn.running in ended:
                self._end(turn)

    def _measure(self, name: str, number: int) -> None:
        """Note that a task is about to measure, or no longer does (0), and stop all but the first one that measures."""
        self._measuring.pop(name, None)
        if number:
            self._measuring[name] = number
        first = next(iter(self._measuring), None)
        for other, turn in self._running.items():
            turn.running.signal(signal.SIGCONT if first in (None, other) else signal.SIGSTOP)
        if first:
            self._running[first].running.let_measure(self._measuring[first])

    def _end(self, turn: _Turn) -> None:
        name = turn.task.name
        del self._running[name]
        code = turn.running.end()
        self._measure(name, 0)
        failed = failure(code, turn.running.last_lines()) if code else None
        if failed and failed.error == KILLED and turn.beside:
            turn.reason, turn.beside = f"{failed}, so it has the machine for itself", False
            self.threads[name] = self.cores
            self._ready[name] = turn
            return
        if not failed:
            try:
                self.outputs[name] = save_outputs(turn.folder, turn.executor, turn.task.component)
            except ValueError as error:
                failed = Failure(type(error).__name__, str(error))
        if not failed:
            seconds = round(time.monotonic() - turn.started, 1)
            self._remember(name, turn.basis.model_copy(update={"seconds": seconds}))
            if "evaluation" in self.outputs[name].artifacts:
                producer, dataset = turn.task.artifacts["dataset"]
                ledger.note(self.folder, self.outputs[name].path("evaluation"), self.outputs[producer].path(dataset))
            self.display.end(name, "done")
            return
        self.failures[name] = failed
        self.display.end(name, "failed", str(failed).splitlines()[0])
        if turn.task.optional or not self.keep_going:
            self._end_run()

    def _end_run(self) -> None:
        """Start nothing more, and end what runs. A training saves a checkpoint first."""
        self._ended = True
        others, self._running = self._running, {}
        self._ready.clear()
        self._measuring.clear()
        processes.stop(turn.running for turn in others.values())
        for name in others:
            self.display.end(name, "skipped", "it was stopped, for another task failed")
