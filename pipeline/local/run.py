"""Run an experiment's pipeline on this machine with kfp.local."""

import fcntl
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from components.errors import InputError, last_error
from components.files import write_json, write_text
from components.leaderboard import FILE as LEADERBOARD
from components.leaderboard import Leaderboard
from components.report.tasks import TaskRun
from pipeline.compile import BUILD, compile_experiment
from pipeline.experiment import Experiment
from pipeline.local import containers
from pipeline.local.daemon import daemon
from pipeline.local.display import Display
from pipeline.local.events import Event, events
from pipeline.local.failure import explain, shown
from pipeline.local.graph import GATHERING, Task, read_spec, read_tasks, remember, why, without
from pipeline.local.process import Engine
from pipeline.local.publish import LATEST, publish, publish_report
from pipeline.local.stopping import stoppable
from pipeline.local.warm import write_shim

RUNS = Path("runs")
OUTPUTS = "outputs"
WORK = ".kfp"
# Tasks that ran in containers have a cache of their own: in containers means in containers.
WORK_IN_CONTAINERS = ".kfp-containers"
_PROGRESS = re.compile(r"((?:epoch|trial) \d+/\d+ .*|best (?:epoch|trial) .*)")


def run_local(
    experiment: Experiment,
    console: Console,
    build: Path = BUILD,
    keep_going: bool = False,
    in_containers: bool = False,
    aside: bool = False,
    promote: bool = False,
) -> Leaderboard:
    """Compile an experiment and run it.

    Args:
        experiment: The checked experiment: results go to `runs/<its name>/<time>`, and `latest` points there.
        console: Where progress is shown.
        build: The folder for the compiled file.
        keep_going: Finish the models that don't depend on a failed task.
        in_containers: Run each task in a container of its image, instead of in a process.
        aside: Leave `latest` and the registry as they are.
        promote: Register a winner that can't be told apart from the current version, too.

    Returns:
        The leaderboard of the finished run.

    Raises:
        InputError: A task refused its input, another run of this experiment is under way, or containers can't be
            started.
        TaskFailedError: A task failed; the run's folder has a report of it. With `keep_going` that is raised in the
            end, after the results are in place.
        Stopped: Ctrl-C or SIGTERM; all processes have ended.
    """
    home, registry = RUNS.absolute() / experiment.name, RUNS.absolute() / "registry"
    work = home / (WORK_IN_CONTAINERS if in_containers else WORK)
    running = daemon() if in_containers else nullcontext()
    with (
        _only_run(home),
        running,
        tempfile.TemporaryDirectory(prefix="keras-pipeline-") as scratch,
        # It gets ready while the pipeline is compiled; in a first run, for tasks too.
        closing(Engine(Path(scratch), warm=not in_containers and _last_pipeline(home) is None)) as engine,
    ):
        pipeline, digest = compile_experiment(experiment, build)
        spec = read_spec(pipeline)
        if aside:
            spec = without(spec, {"register"})
        tasks = read_tasks(spec)
        started = None
        if in_containers:
            containers.remove(home)  # what a run that was killed left behind
            started = containers.arguments(experiment, home, work / OUTPUTS, registry)
            containers.check_images(sorted({task.image for task in tasks.values()}), started)
        run = home / datetime.now().strftime("%Y%m%d-%H%M%S")
        while run.exists():
            run = run.with_name(run.name + "a")
        state = _Run(run, work, Path(scratch), started, engine)
        parameters = {"pipeline_sha256": digest, "registry": str(registry), "promote": promote}
        with Display(tasks, console) as display:
            while True:
                before = set(state.failures)
                failures = json.dumps(state.failures, sort_keys=True)
                changed = state.failures or aside
                path = state.write(without(spec, set(state.failures))) if changed else pipeline
                if state.execute(path, {**parameters, "failures": failures}, tasks, display):
                    break
                # Without a failed task it was kfp itself that failed.
                failed = set(state.failures) - before
                if not keep_going or not failed or failed & set(GATHERING) or state.refused:
                    display.skip_waiting()
                    if state.failures:
                        _report_failure(state, spec, parameters, tasks, display)
                    explain(state.failures, state.refused, run, console)
            display.skip_waiting()
        outputs = state.outputs()
        went, registration = _went(tasks, display), outputs.get("registration")
        board = publish(outputs["leaderboard"], registration, outputs["report"], run, pipeline, went, aside)
        if state.failures:
            console.print(f"results without them: {shown(run)}", soft_wrap=True, highlight=False)
            explain(state.failures, state.refused, run, console)
        return board


class _Run:
    """A run under way.

    Attributes:
        run: Its folder.
        failures: For each failed task, its error.
        refused: The message of a task that refused its input.
        finished: Names of the tasks whose outputs are there.
    """

    def __init__(self, run: Path, work: Path, scratch: Path, containers: dict[str, Any] | None, engine: Engine) -> None:
        self.run = run
        self.failures: dict[str, str] = {}
        self.refused = ""
        self._work = work
        self._scratch = scratch
        self._containers = containers
        self._ready: Engine | None = engine
        self._memory = work / "tasks.json"
        self.finished: set[str] = set()
        self._ran: set[str] = set()
        (run / "logs").mkdir(parents=True)
        work.mkdir(exist_ok=True)
        write_shim(scratch / "bin")

    def execute(self, pipeline: Path, parameters: dict[str, Any], tasks: dict[str, Task], display: Display) -> bool:
        """Run kfp.local and follow it. False if a task failed."""
        request = {
            "pipeline": str(pipeline),
            "parameters": parameters,
            "root": str(self._work / OUTPUTS),
            "cache": str(self._work / "cache"),
            "shim": str(self._scratch / "bin"),
            "result": str(self._scratch / "result.json"),
            "log": str(self.run / "logs" / "kfp.log"),
            "home": str(self.run.parent),
            "containers": self._containers,
            "changed": _last_pipeline(self.run.parent) != parameters["pipeline_sha256"],
        }
        engine, self._ready = self._ready or Engine(self._scratch), None
        try:
            with stoppable():
                for event in events(self._kept(engine.run(request))):
                    self._follow(event, tasks, display)
                return engine.succeeded() and not self._new_failure(parameters)
        finally:
            engine.close()
            if self._containers:
                containers.remove(self.run.parent)

    def write(self, spec: dict[str, Any]) -> Path:
        """Write a pipeline for `execute`."""
        path = self._scratch / "rest.yaml"
        write_text(path, yaml.safe_dump(spec))
        return path

    def outputs(self) -> dict[str, Path]:
        """Paths of what the pipeline gave, see `pipeline.definition.Results`."""
        return {
            name: Path(path)
            for name, path in json.loads((self._scratch / "result.json").read_text(encoding="utf-8")).items()
        }

    def log(self, task: str) -> Path:
        """The log of a task."""
        return self.run / "logs" / f"{task}.log"

    def _kept(self, lines: Any) -> Iterator[str]:  # noqa: ANN401 (a text stream)
        with (self.run / "logs" / "kfp.log").open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                yield line

    def _new_failure(self, parameters: dict[str, Any]) -> bool:
        return json.dumps(self.failures, sort_keys=True) != parameters["failures"]

    def _follow(self, event: Event, tasks: dict[str, Task], display: Display) -> None:
        task = event.task
        if event.kind == "line":
            with self.log(task).open("a", encoding="utf-8") as log:
                log.write(event.text + "\n")
            if match := _PROGRESS.match(event.text):
                display.progress(task, match[1])
        elif event.kind == "started":
            before = self._remembered().get(task)
            self._ran.add(task)
            display.start(task, why(tasks[task], before, self._ran))
        elif event.kind == "cached" and task not in self.finished:
            self.finished.add(task)
            display.end(task, "cached", "nothing it depends on changed")
        elif event.kind == "done":
            self.finished.add(task)
            write_json(self._memory, {**self._remembered(), task: remember(tasks[task])})
            display.end(task, "done")
        elif event.kind == "failed":
            name, message = last_error(self.log(task))
            if name.endswith("InputError"):
                self.refused = message
            self.failures[task] = f"{name}: {message}" if message else name
            display.end(task, "failed", self.failures[task])

    def _remembered(self) -> dict[str, Any]:
        return json.loads(self._memory.read_text(encoding="utf-8")) if self._memory.exists() else {}


def _report_failure(
    state: _Run, spec: dict[str, Any], parameters: dict[str, Any], tasks: dict[str, Task], display: Display
) -> None:
    """Report what failed and what was finished, in the run's own folder: nothing else of it is published.

    Compare and report run on what there is; the outputs of finished tasks come from the cache.
    """
    done = {*state.finished, "compare", "report"}
    gone = set(state.failures) | {name for name in tasks if name not in done or name == "register"}
    if "report" in gone:
        return
    failures = json.dumps(state.failures, sort_keys=True)
    if state.execute(state.write(without(spec, gone)), {**parameters, "failures": failures}, tasks, display):
        publish_report(state.outputs()["report"], state.run, _went(tasks, display))


def _went(tasks: dict[str, Task], display: Display) -> list[TaskRun]:
    """How each task went."""
    lines = display.lines
    return [
        TaskRun(
            name=name,
            needs=task.needs,
            state=lines[name].state,
            seconds=lines[name].seconds,
            why=lines[name].note if lines[name].state in ("failed", "cached") else lines[name].why,
        )
        for name, task in tasks.items()
    ]


def _last_pipeline(home: Path) -> str | None:
    """SHA-256 of the pipeline of an experiment's last whole run, if there was one."""
    board = home / LATEST / LEADERBOARD
    return json.loads(board.read_text(encoding="utf-8"))["pipeline_sha256"] if board.exists() else None


@contextmanager
def _only_run(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{shown(home)}: another run of this experiment is under way") from None
        # What a run that was killed left behind.
        for work in (WORK, WORK_IN_CONTAINERS):
            shutil.rmtree(home / work / "workspace", ignore_errors=True)
        yield
