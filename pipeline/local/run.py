"""Run an experiment's compiled pipeline on this machine: its tasks, side by side."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from components.artifacts.leaderboard import Leaderboard
from components.common.errors import InputError
from components.common.folders import not_a_folder, usable
from components.sources import load_source
from pipeline.experiment.experiment import Experiment
from pipeline.graph.code_version import code_files
from pipeline.graph.compile import BUILD, compile_experiment
from pipeline.local import containers
from pipeline.local.cache import MANIFEST
from pipeline.local.damage import remove, set_aside
from pipeline.local.execution import MEMORY, TASKS, Execution
from pipeline.local.failure import explain, explained, stoppable
from pipeline.local.processes import Running
from pipeline.local.schedule import available_cores, default_jobs
from pipeline.local.server import Server
from pipeline.local.tasks import Task, read_tasks
from pipeline.runs import LATEST, RUNS, ledger, lock, mlflow_server, tracking
from pipeline.runs.publish import PARTIAL, publish, publish_report
from pipeline.runs.record import recorded
from pipeline.terminal.display import Display

# An experiment's folder of its tasks' outputs, their checkpoints, and temporary files.
WORK = ".work"
# Tasks that run in containers have a cache of their own, so that none of their outputs comes from a process.
WORK_IN_CONTAINERS = ".work-containers"
# The room for models, checkpoints and logs.
MODELS_BYTES = 100_000_000


def prepare(experiment: Experiment, runs: Path) -> None:
    """Check the tracker and the disk before a run, and fetch the data that the experiment's sources can fetch.

    A line says so where the environment alone names a tracker that can't be one.

    Raises:
        InputError: The config's tracker can't be one, the data can't be fetched, or the disk has no room for them.
    """
    if experiment.track:
        mlflow_server.check()
    elif os.environ.get(mlflow_server.URI) and (problems := mlflow_server.problems()):
        print(f"mlflow: the run won't be sent: {'; '.join(problems)}", file=sys.stderr, flush=True)
    usable(runs)
    needed = sum(config.facts.bytes * (1 + config.folds) for config in experiment.datasets.values()) + MODELS_BYTES
    if (free := shutil.disk_usage(runs).free) < needed:
        raise InputError(f"{runs}: no room for the data: {needed >> 20} MB needed, {free >> 20} MB free")
    for config in experiment.datasets.values():
        if fetch := load_source(config.source).fetch:
            fetch(config.options)


def run_local(
    experiment: Experiment,
    console: Console,
    build: Path = BUILD,
    keep_going: bool = False,
    in_containers: bool = False,
    keep_latest: bool = False,
    verify_cache: bool = False,
    promote: bool = False,
    jobs: int | None = None,
) -> Leaderboard:
    """Compile an experiment and run it.

    Args:
        experiment: The checked experiment: results go to `runs/<its name>/<UTC time>`, and `latest` points there.
        console: The terminal that progress is printed to.
        build: The folder for the compiled file.
        keep_going: Finish the models that don't depend on a failed task.
        in_containers: Run each task in a container of its image, instead of in a process.
        keep_latest: Leave `latest` and the registry as they are.
        verify_cache: Compare the digests of all outputs of earlier runs, not only their sizes and times.
        promote: Register the winner even where it can't be told apart from the current version.
        jobs: The most tasks at a time; None for as many as cores and memory allow.

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
    outputs = work / TASKS.parent
    for folder in (RUNS, build, home, work, outputs, work / TASKS):
        if folder.is_relative_to(work) and (problem := not_a_folder(folder)):
            set_aside(folder, problem)
        usable(folder)
    with _only_run(home), explained(home, console), stoppable(), ExitStack() as stack:
        scratch = work / "tmp"
        remove(scratch)  # that of a run that was killed
        scratch.mkdir()
        stack.callback(remove, scratch)
        # It imports while the pipeline is compiled; in a first run, TensorFlow as well.
        server = stack.enter_context(Server())
        if not in_containers and not (work / MEMORY).exists():
            server.preload()
        pipeline, digest = compile_experiment(experiment, build)
        tasks = read_tasks(pipeline)
        if keep_latest:
            tasks.pop("register")
        code, threads = _code_and_threads(experiment, in_containers)
        containers_ready = containers.ready(experiment, list(tasks.values()), home, outputs, registry)
        container = stack.enter_context(containers_ready) if in_containers else []
        folder = _new_folder(home)
        if mlflow_server.is_wanted(experiment.track):
            stack.enter_context(tracking.tracked(folder, console))
        record = stack.enter_context(recorded(folder, experiment, code))
        places = {"registry": str(registry), "checkpoints": str(outputs / "checkpoints"), "vertex": ""}
        display = Display(tasks, console)
        run = Execution(
            folder=folder,
            work=work,
            tasks=tasks,
            code=code,
            parameters={"pipeline_sha256": digest, "promote": promote, **places},
            cores=available_cores(),
            jobs=jobs or default_jobs(available_cores()),
            threads=threads,
            start=partial(_start, server, container, scratch),
            display=display,
            verify_cache=verify_cache,
            keep_going=keep_going,
        )
        with display:
            try:
                completed = run.run()
            finally:
                record.outputs = [os.path.relpath(made.folder, home) for made in run.outputs.values()]
                record.failures |= {task: str(failure) for task, failure in run.failures.items()}
            display.skip_waiting()
        return _published(run, completed, pipeline, console, keep_latest)


def _code_and_threads(experiment: Experiment, in_containers: bool) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """The digests of the files of each task's code, and the task's threads."""
    from pipeline.graph.tasks import tasks  # kfp takes a second to import, so it comes late

    specs, cores = tasks(experiment), available_cores()
    # Containers aren't paused while one of them measures its speed, so it runs alone.
    alone = ("evaluate", "export") if in_containers else ()
    threads = {spec.name: cores if spec.step in alone else spec.threads or cores for spec in specs}
    return {spec.name: code_files(*spec.modules) for spec in specs}, threads


def _new_folder(home: Path) -> Path:
    """Make a run's folder, named after the time in UTC: runs are listed by their names, and local clocks jump."""
    folder = home / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    while folder.exists():
        folder = folder.with_name(f"{folder.name}a")
    (folder / "logs").mkdir(parents=True)
    return folder


def _start(
    server: Server, container: list[str], scratch: Path, task: Task, command: list[str], log: Path, events: Path
) -> Running:
    """Start a task, by the command of a container where there is one."""
    if container:
        command = [*container, task.image, *command]
    elif task.cached:
        server.preload()
    return Running(server, command, scratch / task.name, log, events, task.trains)


def _published(run: Execution, completed: bool, pipeline: Path, console: Console, keep_latest: bool) -> Leaderboard:
    """Put the results that there are in their place, and explain the failures of tasks."""
    paths = {(task, name): made.path(name) for task, made in run.outputs.items() for name in made.artifacts}
    page = paths.get(("report", "page"))
    if page and not completed:
        publish_report(page, run.folder, run.task_runs())
    if not page or not completed:
        explain(run.failures, run.folder, console)
    if not run.failures:
        for folder in (run.work / TASKS).iterdir():
            if not (folder / MANIFEST).exists():  # of a task that didn't finish
                remove(folder)
    compared = {key: paths[source] for key, source in run.tasks["compare"].artifacts.items() if source in paths}
    board, registration = paths["compare", "leaderboard"], paths.get(("register", "registration"))
    result = publish(compared, board, page, registration, run.folder, pipeline, run.task_runs(), keep_latest)
    if run.failures:
        console.out(f"results without them: {os.path.relpath(run.folder)}", highlight=False)
        explain(run.failures, run.folder, console)
    return result


@contextmanager
def _only_run(home: Path) -> Iterator[None]:
    """Hold the lock of an experiment, and remove the partial files of a run that was killed."""
    if os.path.lexists(latest := home / LATEST) and not latest.is_symlink():
        set_aside(latest, "isn't a link to a run")
    for path in (home / lock.FILE, RUNS / ledger.FILE):
        if os.path.lexists(path) and not path.is_file():
            set_aside(path, "isn't a file")
    with lock.held(home, f"{os.path.relpath(home)}: another run of this experiment is under way"):
        for partial in home.glob(f"*/{PARTIAL}"):
            remove(partial)
        yield
