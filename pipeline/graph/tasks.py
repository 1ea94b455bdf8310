"""The graph: the tasks of an experiment and their inputs. The compiler and the runners get their tasks here.

    ingest-<data set> ─┬─ baseline-<data set> ──────────────┐           ┌─ register
                       ├─ train-<model> ─┬─ evaluate-<model> ─┼─ compare ─┴─ report
                       │                 └─ export-<model> ───┘
                       └─ tune-<model>, before train-<model>, where the model has a search

A new step is a package in components/ and an entry in `tasks`.
"""

import json
from dataclasses import dataclass, field, replace

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.artifacts.leaderboard import Contest, Contestant
from components.baseline.component import baseline
from components.common.gather import KINDS, gathering, inputs_of
from components.compare.component import compare
from components.evaluate.component import evaluate_classification, evaluate_forecasting
from components.export.component import export
from components.ingest.component import ingest
from components.register.component import register
from components.report.about import About
from components.report.component import report
from components.train.component import train
from components.tune.component import tune
from components.vertex.placement import Placement
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
        return "-".join(filter(None, [self.step, self.model or self.dataset])).replace("_", "-")

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
    """The tasks of an experiment, each after those whose outputs it takes.

    Args:
        experiment: The experiment.
        target: The platform that the pipeline is compiled for.
    """
    specs: list[TaskSpec] = []
    # The outputs that other tasks take, by their kind and the name of the model or data set.
    results: dict[str, dict[str, Output]] = {kind: {} for kind in KINDS}

    def add(task: TaskSpec, kind: str = "", output: str = "") -> TaskSpec:
        specs.append(task)
        if kind:
            results[kind][task.model or task.dataset] = (task, output)
        return task

    for name, config in experiment.datasets.items():
        options = config.options.model_dump(exclude_unset=True)
        arguments: dict[str, str | int] = {
            "name": name,
            "spec": json.dumps({"source": config.source, **options}, sort_keys=True),
            "fingerprint": config.facts.fingerprint,
        }
        uses: tuple[str, ...] = (f"components.sources.{config.source}",)
        add(TaskSpec("ingest", ingest, name, arguments=arguments, uses=uses), "datasets", "dataset")
        inputs = {"dataset": results["datasets"][name]}
        models = [spec for spec in experiment.models.values() if spec.dataset == name]
        quantiles = next((spec.quantiles for spec in models if spec.quantiles), [])
        arguments = {"quantiles": json.dumps(quantiles)} if quantiles else {}
        add(TaskSpec("baseline", baseline, name, arguments=arguments, inputs=inputs), "baselines", "baselines")
    for name, spec in experiment.models.items():
        inputs = {"dataset": results["datasets"][spec.dataset]}
        settings = spec.model_dump(exclude={"machine"}, exclude_unset=True)
        arguments = {"name": name, "spec": json.dumps(settings, sort_keys=True), "seed": experiment.seed}
        uses = (f"components.families.{spec.family}",)
        if name in experiment.tunes:
            tune_arguments = {**arguments, "tune": experiment.tunes[name].model_dump_json(exclude_defaults=True)}
            # On Vertex AI, each trial is a job on the model's machine.
            task = TaskSpec("tune", tune, spec.dataset, name, tune_arguments, inputs, uses, threads=None)
            task = task.on(spec.machine, placement(spec.machine, target, True))
            add(task, "searches", "trials")
            del arguments["spec"]
            inputs = {**inputs, "spec": (task, "tuned")}
        streams = experiment.vertex.tensorboard is not None
        task = TaskSpec("train", train, spec.dataset, name, arguments, inputs, uses, threads=spec.threads)
        task = task.on(spec.machine, placement(spec.machine, target, streams))
        add(task, "models", "model")
        inputs = {"dataset": results["datasets"][spec.dataset], "model": (task, "model")}
        classifies = experiment.datasets[spec.dataset].task == "classification"
        evaluate = evaluate_classification if classifies else evaluate_forecasting
        arguments = {"seed": experiment.seed}
        add(TaskSpec("evaluate", evaluate, spec.dataset, name, arguments, inputs), "evaluations", "evaluation")
        arguments = {"formats": json.dumps(list(dict.fromkeys(experiment.formats)))}
        add(TaskSpec("export", export, spec.dataset, name, arguments, inputs), "exports", "exported")

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
                tasks=[t.name for t in tasks if t.dataset == spec.dataset and t.model in ("", name)],
            )
            for name, spec in experiment.models.items()
        },
    ).model_dump_json()
