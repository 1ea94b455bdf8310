"""The graph: the tasks of an experiment, and what each needs. Whoever names tasks has them from here.

    ingest-<data set> ─┬─ baseline-<data set> ──────────────┐           ┌─ register
                       ├─ train-<model> ─┬─ evaluate-<model> ─┼─ compare ─┴─ report
                       │                 └─ export-<model> ───┘
                       └─ tune-<model>, before train-<model>, where the model has a search

A new step is a package in components/ and an entry in `tasks`.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from kfp import dsl

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
from pipeline.experiment.machines import Target, placement
from pipeline.graph.code_version import code_version


@dataclass(frozen=True)
class TaskSpec:
    """A task of the graph.

    Attributes:
        step: Its step, a package in components/.
        component: The step's KFP component.
        dataset: The data set that it is for; "" for a step that gathers the results of all.
        model: The model that it is for; "" for a step of a data set, and for one that gathers.
        arguments: Values of the component's parameters.
        inputs: For each other input of the component the task that gives it, and the name of its output there.
        uses: Modules beside the step's own whose code determines what it gives, such as "components.families.cnn".
        machine: An entry of configs/machines.yaml; None for the default.
        placement: Where a training runs; None for a task that doesn't train.
        cached: Whether what it gave is used again where nothing that it depends on has changed.
        threads: The threads that it computes with, for what runs side by side on one machine; None for one for each
            core.
    """

    step: str
    component: Any
    dataset: str = ""
    model: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
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
        """Names of the tasks before it."""
        return list(dict.fromkeys(task.name for task, _ in self.inputs.values()))

    @property
    def launches(self) -> bool:
        """Whether it only launches a job, which has the machine."""
        return bool(self.placement and self.placement.pools)

    @property
    def modules(self) -> list[str]:
        """The modules that it runs, as `code_files` takes them."""
        return [f"components.{self.step}.component", *self.uses]

    @property
    def code_version(self) -> str:
        """Digest of the code that it runs."""
        return code_version(*self.modules)

    def on(self, machine: str | None, placement: Placement) -> "TaskSpec":
        """The same task on a machine."""
        placed = {"placement": placement.model_dump_json(exclude_defaults=True)}
        return replace(self, machine=machine, placement=placement, arguments={**self.arguments, **placed})


# A task, and the name of an output of it.
Output = tuple[TaskSpec, str]


def tasks(experiment: Experiment, target: Target = "vertex") -> list[TaskSpec]:
    """The tasks of an experiment, each after those that it needs.

    Args:
        experiment: The experiment.
        target: What the pipeline is compiled for.
    """
    found: list[TaskSpec] = []
    # By kind and name, the results that other tasks take: the task that gives them, and the output.
    results: dict[str, dict[str, Output]] = {kind: {} for kind in KINDS}

    def add(task: TaskSpec, kind: str = "", output: str = "") -> TaskSpec:
        found.append(task)
        if kind:
            results[kind][task.model or task.dataset] = (task, output)
        return task

    for name, config in experiment.datasets.items():
        options = config.options.model_dump(exclude_unset=True)
        arguments: dict[str, Any] = {
            "name": name,
            "spec": json.dumps({"source": config.source, **options}, sort_keys=True),
            "fingerprint": config.facts.fingerprint,
        }
        uses: tuple[str, ...] = (f"components.sources.{config.source}",)
        add(TaskSpec("ingest", ingest, name, arguments=arguments, uses=uses), "datasets", "dataset")
        inputs = {"dataset": results["datasets"][name]}
        add(TaskSpec("baseline", baseline, name, inputs=inputs), "baselines", "baselines")
    for name, spec in experiment.models.items():
        inputs = {"dataset": results["datasets"][spec.dataset]}
        settings = spec.model_dump(exclude={"machine"}, exclude_unset=True)
        arguments = {"name": name, "spec": json.dumps(settings, sort_keys=True), "seed": experiment.seed}
        uses = (f"components.families.{spec.family}",)
        if name in experiment.tunes:
            searching = {**arguments, "tune": experiment.tunes[name].model_dump_json(exclude_defaults=True)}
            # Each trial on Vertex AI has a job on the model's machine.
            placed = placement(spec.machine, target, True)
            task = TaskSpec("tune", tune, spec.dataset, name, searching, inputs, uses, threads=None)
            task = task.on(spec.machine, placed)
            add(task, "searches", "trials")
            del arguments["spec"]
            inputs = {**inputs, "spec": (task, "tuned")}
        streams = experiment.vertex.tensorboard is not None
        placed = placement(spec.machine, target, streams)
        task = TaskSpec("train", train, spec.dataset, name, arguments, inputs, uses, threads=spec.threads)
        task = task.on(spec.machine, placed)
        add(task, "models", "model")
        inputs = {"dataset": results["datasets"][spec.dataset], "model": (task, "model")}
        classifies = experiment.datasets[spec.dataset].task == "classification"
        evaluate = evaluate_classification if classifies else evaluate_forecasting
        arguments = {"seed": experiment.seed}
        add(TaskSpec("evaluate", evaluate, spec.dataset, name, arguments, inputs), "evaluations", "evaluation")
        arguments = {"formats": json.dumps(list(dict.fromkeys(experiment.formats)))}
        add(TaskSpec("export", export, spec.dataset, name, arguments, inputs), "exports", "exported")

    arguments = {"contest": _contest(experiment, found), "run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
    # The leaderboard says which code gave it.
    uses = tuple(sorted({module for task in found for module in task.modules}))
    compared = add(_gathering("compare", compare, results, list(KINDS), arguments=arguments, uses=uses))
    board = {"leaderboard": (compared, "leaderboard")}
    arguments = {"run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
    kinds = ["datasets", "evaluations", "exports"]
    # It looks at the registry, which may have been changed since.
    add(_gathering("register", register, results, kinds, board, arguments=arguments, cached=False))
    kinds = ["datasets", "searches", "models", "evaluations", "exports"]
    reported = _gathering("report", report, results, kinds, board)
    about = About(
        experiment=experiment.name,
        command=experiment.command,
        seed=experiment.seed,
        code_version=compared.code_version,
        tasks={task.name: task.needs for task in [*found, reported]},
    )
    return [*found, replace(reported, arguments={"about": about.model_dump_json()})]


def _gathering(
    step: str,
    component: Any,  # noqa: ANN401 (a KFP component)
    results: dict[str, dict[str, Output]],
    kinds: list[str],
    others: dict[str, Output] | None = None,
    **fields: Any,  # noqa: ANN401
) -> TaskSpec:
    """The task of a step that takes all results of some kinds, and others."""
    taken = inputs_of({kind: list(results[kind]) for kind in kinds})
    inputs = {name: results[kind][of] for kind, names in taken.items() for of, name in names.items()}
    return TaskSpec(step, gathering(component, taken), inputs={**inputs, **(others or {})}, **fields)


def _contest(experiment: Experiment, tasks: list[TaskSpec]) -> str:
    """JSON of what compare is told of the experiment."""
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
