"""The graph: the tasks of an experiment and their inputs. The compiler and the runners get their tasks here.

    ingest-<data set> ─┬─ baseline-<data set> ──────────────┐           ┌─ register
                       ├─ train-<model> ─┬─ evaluate-<model> ─┼─ compare ─┴─ report
                       │                 └─ export-<model> ───┘
                       └─ tune-<model>, before train-<model>, where the model has a search

Each fold of a backtest has its own ingest-<data set>-fold-<n>, baseline-…, train-<model>-fold-<n> and evaluate-….

A new step is a package in components/ and an entry in `tasks`.
"""

import json
from dataclasses import dataclass, field, replace

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.artifacts.backtest import fold_key
from components.artifacts.leaderboard import Contest, Contestant
from components.baseline.component import baseline
from components.common.gather import KINDS, gathering, inputs_of
from components.common.spec import SeriesOptions
from components.compare.component import compare
from components.data.splits import folds
from components.evaluate.component import evaluate_classification, evaluate_forecasting
from components.export.component import export
from components.ingest.component import ingest
from components.register.component import register
from components.report.about import About
from components.report.component import report
from components.train.component import train
from components.tune.component import tune
from components.vertex.placement import Placement
from pipeline.experiment.dataset_checks import DatasetConfig
from pipeline.experiment.experiment import Experiment
from pipeline.experiment.machines import Target
from pipeline.graph.code_version import code_version
from pipeline.graph.task_machines import placement


@dataclass(frozen=True)
class TaskSpec:
    """A task of the graph.

    Attributes:
        step: The task's step, a package in components/.
        component: The step's KFP component.
        dataset: The task's data set; "" for a step that takes the results of all.
        model: The task's model; "" for a step of a data set, and for one that takes the results of all.
        fold: The number of the fold of a backtest, from 1; 0 for a task of the whole data.
        arguments: The values of the component's parameters.
        inputs: The task and the name of its output for each artifact that the component takes.
        uses: The modules beside the step's own that determine its outputs, such as "components.families.cnn".
        machine: The name of an entry of configs/machines.yaml; None for the default.
        placement: The placement of a training; None for a task that doesn't train.
        cached: Whether its outputs are used again while nothing that it depends on has changed.
        threads: The number of threads that it computes with, for tasks that run side by side on one machine; None for
            one for each core.
    """

    step: str
    component: BaseComponent
    dataset: str = ""
    model: str = ""
    fold: int = 0
    arguments: dict[str, str | int] = field(default_factory=dict)
    inputs: "dict[str, Output]" = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    machine: str | None = None
    placement: Placement | None = None
    cached: bool = True
    threads: int | None = 1

    @property
    def name(self) -> str:
        """The task's name, as KFP writes it."""
        fold = f"fold-{self.fold}" if self.fold else ""
        return "-".join(filter(None, [self.step, self.model or self.dataset, fold])).replace("_", "-")

    @property
    def needs(self) -> list[str]:
        """The names of the tasks whose outputs it takes."""
        return list(dict.fromkeys(task.name for task, _ in self.inputs.values()))

    @property
    def launches(self) -> bool:
        """Whether the task only launches a job, which runs on the machine."""
        return bool(self.placement and self.placement.pools)

    @property
    def modules(self) -> list[str]:
        """The names of the modules that the task runs, as arguments of `code_files`."""
        return [f"components.{self.step}.component", *self.uses]

    @property
    def code_version(self) -> str:
        """The digest of the code that the task runs."""
        return code_version(*self.modules)

    def on(self, machine: str | None, placement: Placement) -> "TaskSpec":
        """A copy of the task on a machine."""
        arguments = {**self.arguments, "placement": placement.model_dump_json(exclude_defaults=True)}
        return replace(self, machine=machine, placement=placement, arguments=arguments)


# A task, and the name of one of its outputs.
Output = tuple[TaskSpec, str]


def tasks(experiment: Experiment, target: Target = "vertex") -> list[TaskSpec]:
    """The tasks of an experiment, each after those whose outputs it takes."""
    specs: list[TaskSpec] = []
    # The outputs that other tasks take, by their kind and the name of the model or data set, and the fold's number.
    results: dict[str, dict[str, Output]] = {kind: {} for kind in KINDS}

    def add(task: TaskSpec, kind: str = "", output: str = "") -> TaskSpec:
        specs.append(task)
        if kind:
            of, key = task.model or task.dataset, f"fold_{kind}" if task.fold else kind
            results[key][fold_key(of, task.fold) if task.fold else of] = (task, output)
        return task

    ingested: dict[str, list[Output]] = {}
    for name, config in experiment.datasets.items():
        models = [spec for spec in experiment.models.values() if spec.dataset == name]
        quantiles = next((spec.quantiles for spec in models if spec.quantiles), [])
        ingested[name] = []
        for fold, options in enumerate(_options(config)):
            arguments: dict[str, str | int] = {
                "name": name,
                "spec": json.dumps({"source": config.source, **options}, sort_keys=True),
                "fingerprint": config.facts.fingerprint,
            }
            uses: tuple[str, ...] = (f"components.sources.{config.source}",)
            task = TaskSpec("ingest", ingest, name, fold=fold, arguments=arguments, uses=uses)
            ingested[name].append((add(task, "datasets", "dataset"), "dataset"))
            inputs = {"dataset": ingested[name][fold]}
            arguments = {"quantiles": json.dumps(quantiles)} if quantiles else {}
            arguments |= {"rivals": json.dumps(config.rivals)} if config.rivals else {}
            task = TaskSpec("baseline", baseline, name, fold=fold, arguments=arguments, inputs=inputs)
            add(task, "baselines", "baselines")
    for name, spec in experiment.models.items():
        inputs = {"dataset": ingested[spec.dataset][0]}
        settings = spec.model_dump(exclude={"machine"}, exclude_unset=True)
        arguments = {"name": name, "spec": json.dumps(settings, sort_keys=True), "seed": experiment.seed}
        uses = (f"components.families.{spec.family}",)  # it may have layers of its own
        found: dict[str, Output] = {}
        if name in experiment.tunes:
            tune_arguments = {**arguments, "tune": experiment.tunes[name].model_dump_json(exclude_defaults=True)}
            # On Vertex AI, each trial is a job on the model's machine.
            task = TaskSpec("tune", tune, spec.dataset, name, 0, tune_arguments, inputs, uses, threads=None)
            task = task.on(spec.machine, placement(spec.machine, target, True))
            found = {"spec": (add(task, "searches", "trials"), "tuned")}
            del arguments["spec"]
        streams = experiment.vertex.tensorboard is not None
        classifies = experiment.datasets[spec.dataset].task == "classification"
        evaluate = evaluate_classification if classifies else evaluate_forecasting
        for fold, dataset in enumerate(ingested[spec.dataset]):
            inputs = {"dataset": dataset, **found}
            task = TaskSpec("train", train, spec.dataset, name, fold, arguments, inputs, uses, threads=spec.threads)
            task = task.on(spec.machine, placement(spec.machine, target, streams))
            add(task, "" if fold else "models", "model")
            inputs = {"dataset": dataset, "model": (task, "model")}
            seed: dict[str, str | int] = {"seed": experiment.seed}
            task = TaskSpec("evaluate", evaluate, spec.dataset, name, fold, seed, inputs, uses)
            add(task, "evaluations", "evaluation")
            if not fold:
                formats: dict[str, str | int] = {"formats": json.dumps(list(dict.fromkeys(experiment.formats)))}
                task = TaskSpec("export", export, spec.dataset, name, arguments=formats, inputs=inputs, uses=uses)
                add(task, "exports", "exported")

    arguments = {"contest": _contest(experiment, specs), "run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
    # The leaderboard has the digest of all code that determines it.
    uses = tuple(sorted({module for task in specs for module in task.modules}))
    compare_task = _task_of_all("compare", compare, results, list(KINDS))
    compare_task = add(replace(compare_task, arguments=arguments, uses=uses))
    board = {"leaderboard": (compare_task, "leaderboard")}
    arguments = {"run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
    register_task = _task_of_all("register", register, results, ["datasets", "evaluations", "exports"], board)
    # Its result depends on the registry, which no cache key covers.
    add(replace(register_task, arguments=arguments, cached=False))
    kinds = ["datasets", "searches", "models", "evaluations", "exports"]
    report_task = _task_of_all("report", report, results, kinds, board)
    about = About(
        experiment=experiment.name,
        command=experiment.command,
        seed=experiment.seed,
        code_version=compare_task.code_version,
        tasks={task.name: task.needs for task in [*specs, report_task]},
    )
    return [*specs, replace(report_task, arguments={"about": about.model_dump_json()})]


def _options(config: DatasetConfig) -> list[dict[str, object]]:
    """The options of a data set for ingest, and those of each fold of its backtest."""
    options, rows = config.options, config.facts.rows or 0
    every = [options, *folds(rows, options)] if isinstance(options, SeriesOptions) else [options]
    return [one.model_dump(exclude_unset=True, exclude={"backtest"}) for one in every]


def _task_of_all(
    step: str,
    component: BaseComponent,
    results: dict[str, dict[str, Output]],
    kinds: list[str],
    others: dict[str, Output] | None = None,
) -> TaskSpec:
    """The task of a step that takes all results of some kinds, and other outputs."""
    names = inputs_of({kind: list(results[kind]) for kind in kinds})
    inputs = {name: results[kind][key] for kind in kinds for key, name in names[kind].items()}
    return TaskSpec(step, gathering(component, names), inputs={**inputs, **(others or {})})


def _contest(experiment: Experiment, tasks: list[TaskSpec]) -> str:
    """The experiment as JSON, an argument of compare."""
    return Contest(
        experiment=experiment.name,
        seed=experiment.seed,
        gates={name: config.gate for name, config in experiment.datasets.items()},
        models={
            name: Contestant(
                family=spec.family,
                dataset=spec.dataset,
                tasks=[t.name for t in tasks if t.dataset == spec.dataset and t.model in ("", name) and not t.fold],
            )
            for name, spec in experiment.models.items()
        },
        folds={name: config.folds for name, config in experiment.datasets.items() if config.folds},
    ).model_dump_json()
