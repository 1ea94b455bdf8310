"""Run an experiment's compiled pipeline on this machine: its tasks, one after the other."""

import fcntl
import json
import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from components.artifacts.leaderboard import Leaderboard
from components.common.errors import InputError
from components.report.run_section import TaskRun
from pipeline.experiment.experiment import Experiment
from pipeline.graph.code_version import code_files
from pipeline.graph.compile import BUILD, compile_experiment
from pipeline.local import cache, containers
from pipeline.local.cache import DamagedError, Outputs
from pipeline.local.containers import Containers
from pipeline.local.daemon import daemon
from pipeline.local.damage import remove, set_aside, shown, usable
from pipeline.local.failure import Failure, explain, explained, failure
from pipeline.local.processes import Processes
from pipeline.local.publish import LATEST, PARTIAL, publish, publish_report
from pipeline.local.reasons import Basis, remember, remembered, why
from pipeline.local.stopping import stoppable
from pipeline.local.tasks import Task, arguments, command, executor_input, read_tasks
from pipeline.runs import ledger
from pipeline.runs.record import recorded
from pipeline.terminal.display import Display

RUNS = Path("runs")
# An experiment's folder of its tasks' outputs, their checkpoints, and temporary files.
WORK = ".work"
OUTPUTS = "outputs"
TASKS = "tasks"
MEMORY = "tasks.json"
# Tasks that run in containers have a cache of their own, so that none of their outputs comes from a process.
WORK_IN_CONTAINERS = ".work-containers"
# These tasks run after a failure as well, and report the results that there are.
REPORTING = ("compare", "report")
_PROGRESS = re.compile(r"((?:epoch|trial) \d+/\d+ .*|best (?:epoch|trial) .*)")


def run_local(
    experiment: Experiment,
    console: Console,
    build: Path = BUILD,
    keep_going: bool = False,
    in_containers: bool = False,
    keep_latest: bool = False,
    verify_cache: bool = False,
    promote: bool = False,
) -> Leaderboard:
    """Compile an experiment and run it.

    Args:
        experiment: The checked experiment: results go to `runs/<its name>/<time>`, and `latest` points there.
        console: The terminal that progress is printed to.
        build: The folder for the compiled file.
        keep_going: Finish the models that don't depend on a failed task.
        in_containers: Run each task in a container of its image, instead of in a process.
        keep_latest: Leave `latest` and the registry as they are.
        verify_cache: Compare the digests of all outputs of earlier runs, not only their sizes and times.
        promote: Register the winner even where it can't be told apart from the current version.

    Returns:
        The leaderboard of the finished run.

    Raises:
        InputError: A task refused its input, another run of this experiment is under way, a folder can't be used, or
            containers can't be started.
        TaskFailedError: A task failed, or the disk is full. The run's folder has a report of the failure. With
            `keep_going` the error is raised at the end, when the results are in place.
        Stopped: The user pressed Ctrl-C, or SIGTERM or SIGHUP came. All processes have ended.
    """
    home, registry = RUNS.absolute() / experiment.name, RUNS.absolute() / "registry"
    work = home / (WORK_IN_CONTAINERS if in_containers else WORK)
    for folder in (RUNS, build, home):
        usable(folder)
    for folder in (work, work / OUTPUTS, work / OUTPUTS / TASKS):
        usable(folder, ours=True)
    with ExitStack() as stack:
        stack.enter_context(_only_run(home))
        stack.enter_context(explained(home, console))
        stack.enter_context(stoppable())
        scratch = stack.enter_context(_scratch(work))
        if in_containers:
            stack.enter_context(daemon())
            containers.remove(home)  # a run that was killed may have left some
        else:
            # The server of processes imports while the pipeline is compiled; in a first run, TensorFlow as well.
            launcher: Processes | Containers = stack.enter_context(closing(Processes(scratch)))
            if not (work / MEMORY).exists():
                launcher.get_ready()
        from pipeline.graph.tasks import tasks as specified  # kfp takes a second to import, so it comes late

        pipeline, digest = compile_experiment(experiment, build)
        tasks = read_tasks(pipeline)
        code = {task.name: code_files(*task.modules) for task in specified(experiment)}
        if keep_latest:
            tasks.pop("register")
        if in_containers:
            started = containers.arguments(experiment, home, work / OUTPUTS, registry)
            containers.check_images(sorted({task.image for task in tasks.values()}), started)
            launcher = stack.enter_context(closing(Containers(home, work / OUTPUTS, started)))
        name = datetime.now().strftime("%Y%m%d-%H%M%S")
        while (home / name).exists():
            name += "a"
        (home / name / "logs").mkdir(parents=True)
        record = stack.enter_context(recorded(home / name, experiment, code))
        parameters = {"pipeline_sha256": digest, "registry": str(registry), "vertex": "", "promote": promote}
        parameters["checkpoints"] = str(work / OUTPUTS / "checkpoints")
        with Display(tasks, console) as display:
            run = _Run(home / name, work, tasks, code, parameters, launcher, display, verify_cache)
            try:
                completed = run.execute(keep_going)
            finally:
                record.outputs = [os.path.relpath(run.folder_of(task), home) for task in run.outputs]
                record.failures |= {task: str(failure) for task, failure in run.failures.items()}
            display.skip_waiting()
        if not completed:
            if "report" in run.outputs:
                publish_report(run.path("report", "page"), run.folder, run.task_runs())
            explain(run.failures, run.folder, console)
        inputs = {
            key: run.path(*source) for key, source in tasks["compare"].artifacts.items() if source[0] in run.outputs
        }
        results = run.path("compare", "leaderboard"), run.path("report", "page")
        if not run.failures:
            cache.tidy(work / OUTPUTS / TASKS)
        registration = run.path("register", "registration") if "register" in run.outputs else None
        board = publish(inputs, *results, registration, run.folder, pipeline, run.task_runs(), keep_latest)
        if run.failures:
            console.print(f"results without them: {shown(run.folder)}", soft_wrap=True, highlight=False)
            explain(run.failures, run.folder, console)
        return board


class _Run:
    """A run under way.

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
        launcher: Processes | Containers,
        display: Display,
        verify_cache: bool,
    ) -> None:
        self.folder = folder
        self.outputs: dict[str, Outputs] = {}
        self.failures: dict[str, Failure] = {}
        self._work, self._tasks, self._code, self._parameters = work, tasks, code, parameters
        self._launcher, self._display, self._verify_cache = launcher, display, verify_cache
        self._folders: dict[str, Path] = {}
        self._memory = remembered(work / MEMORY)

    def execute(self, keep_going: bool) -> bool:
        """Run each task whose outputs aren't there. Returns False where a failure ended the run."""
        ended = False
        for task in self._tasks.values():
            if not self.outputs.keys() >= set(task.needs) - task.optional:
                continue
            full = any(failure.full_disk for failure in self.failures.values())
            # After a failure, only the tasks that report run, and none where the disk is full.
            self._run_or_reuse(task, reuse_only=ended and (full or task.name not in REPORTING))
            if failed := self.failures.get(task.name):
                ended = ended or not keep_going or failed.refused or bool(task.optional)
        return not ended

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

    def _run_or_reuse(self, task: Task, reuse_only: bool) -> None:
        """Take a task's outputs from an earlier run, or run it, unless `reuse_only` says not to."""
        failures = {name: str(failure) for name, failure in self.failures.items()}
        parameters = {**self._parameters, "failures": json.dumps(failures, sort_keys=True)}
        values = arguments(task, parameters, self.outputs)
        inputs = {
            name: (self._folders[producer], self.outputs[producer].artifacts[key])
            for name, (producer, key) in task.artifacts.items()
            if producer in self.outputs
        }
        digests = {name: artifact.digest() for name, (_, artifact) in inputs.items()}
        basis = Basis(
            image=task.image,
            command=cache.digest(task.command),
            parameters=values,
            inputs=digests,
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
        if reuse_only and not reused:
            return
        if before != basis:
            self._memory[task.name] = basis
            remember(self._work / MEMORY, self._memory)
        if reused:
            same = before is not None and before.key() == basis.key()
            self._display.cached(task.name, "nothing it depends on changed" if same else "as in an earlier run")
            return
        if task.cached:
            self._launcher.get_ready()
        reason = reason or why(before, basis, {name: producer for name, (producer, _) in task.artifacts.items()})
        self._display.start(task.name, reason)
        remove(folder)
        folder.mkdir()
        owner = folder.parent.stat()  # a container's user may be another one than this process'
        os.chown(folder, owner.st_uid, owner.st_gid)
        executor = executor_input(task, values, inputs, folder, self.folder.name)
        failed = self._launch(task, executor)
        if failed is None:
            try:
                self.outputs[task.name] = cache.save_outputs(folder, executor, task.component)
            except ValueError as error:
                failed = Failure(type(error).__name__, str(error))
        if failed is not None:
            self.failures[task.name] = failed
            self._display.end(task.name, "failed", str(failed).splitlines()[0])
            return
        if "evaluation" in self.outputs[task.name].artifacts:
            ledger.note(self.folder, self.path(task.name, "evaluation"), self.path(*task.artifacts["dataset"]))
        self._display.end(task.name, "done")

    def _launch(self, task: Task, executor: dict[str, Any]) -> Failure | None:
        """Run a task's command, and write what it prints to its log."""
        last_lines: deque[str] = deque(maxlen=200)
        with (self.folder / "logs" / f"{task.name}.log").open("a", encoding="utf-8") as log:

            def on_line(line: str) -> None:
                last_lines.append(line)
                with suppress(OSError):  # the task itself reports a full disk
                    log.write(line + "\n")
                    log.flush()
                if match := _PROGRESS.match(line):
                    self._display.progress(task.name, match[1])

            code = self._launcher.run(task.image, task.name, command(task, executor), on_line)
        return failure(code, last_lines) if code else None


@contextmanager
def _only_run(home: Path) -> Iterator[None]:
    """Hold the lock of an experiment, and remove the partial files of a run that was killed."""
    path = home / ".lock"
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        set_aside(path, "isn't a file")
    if os.path.lexists(latest := home / LATEST) and not latest.is_symlink():
        set_aside(latest, "isn't a link to a run")
    with path.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{shown(home)}: another run of this experiment is under way") from None
        for partial in home.glob(f"*/{PARTIAL}"):
            remove(partial)
        yield


@contextmanager
def _scratch(work: Path) -> Iterator[Path]:
    """Make the folder of temporary files, and remove it at the end; that of a run that was killed goes first."""
    folder = work / "tmp"
    remove(folder)
    folder.mkdir()
    try:
        yield folder
    finally:
        remove(folder)
