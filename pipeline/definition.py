"""The graph: unrolled from the experiment when it is compiled, so every model has tasks of its own.

ingest-<data set> ─┬─ baseline-<data set> ──────────────┐           ┌─ register
                   ├─ train-<model> ─┬─ evaluate-<model> ─┼─ compare ─┴─ report
                   │                 └─ export-<model> ───┘
                   └─ tune-<model>, before train-<model>, where the model has a search
"""

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl

from components.baseline.component import baseline
from components.compare.component import compare_component
from components.evaluate.component import evaluate_classification, evaluate_forecasting
from components.export.component import export
from components.ingest.component import ingest
from components.leaderboard import Contest
from components.register.component import register_component
from components.report.about import About
from components.report.component import report_component
from components.train.component import train
from components.tune.component import tune
from pipeline.code_version import code_version
from pipeline.experiment import Experiment
from pipeline.machines import Target, machines, place, placement


class Results(NamedTuple):
    """What a pipeline gives: the folder of the leaderboard, and the page about the run."""

    leaderboard: dsl.Artifact
    report: dsl.HTML


def task_name(step: str, of: str) -> str:
    """The name of a step's task for a data set or model, as KFP writes it."""
    return f"{step}-{of}".replace("_", "-")


def task_modules(experiment: Experiment) -> dict[str, list[str]]:
    """For each task the modules that it runs, as `pipeline.code_version` takes them.

    For compare they are those of the tasks before it too: the leaderboard says which code gave it.
    """
    modules: dict[str, list[str]] = {}
    for name, config in experiment.datasets.items():
        modules[task_name("ingest", name)] = ["components.ingest.component", f"components.sources.{config.source}"]
        modules[task_name("baseline", name)] = ["components.baseline.component"]
    for name, spec in experiment.models.items():
        family = f"components.families.{spec.family}"
        if name in experiment.tunes:
            modules[task_name("tune", name)] = ["components.tune.component", family]
        modules[task_name("train", name)] = ["components.train.component", family]
        for step in ("evaluate", "export"):
            modules[task_name(step, name)] = [f"components.{step}.component"]
    modules["compare"] = sorted({*itertools.chain(*modules.values()), "components.compare.component"})
    for step in ("register", "report"):
        modules[step] = [f"components.{step}.component"]
    return modules


def define(experiment: Experiment, target: Target = "vertex") -> Callable[..., Any]:
    """Build the pipeline function of an experiment.

    Its parameters have defaults that suit every runner: `failures`, JSON of the tasks that failed and why,
    where a run goes on without them; `pipeline_sha256`, digest of the compiled file; `registry`, the folder
    that models are registered in; `vertex`, JSON of a `components.cloud.Vertex` where it runs on Vertex AI;
    `promote`, whether a winner takes the place of a version that it can't be told apart from.

    Args:
        experiment: The experiment.
        target: How accelerators and nodes are named: as Vertex AI does, which local runs ignore, or Kubernetes.
    """
    datasets, models = list(experiment.datasets), list(experiment.models)
    code = {task: code_version(*modules) for task, modules in task_modules(experiment).items()}

    @dsl.pipeline(
        name=experiment.name.replace("_", "-"),
        description=f"{len(models)} models on {len(datasets)} data sets: train, evaluate, export, compare, report.",
    )
    def pipeline(
        failures: str = "{}",
        pipeline_sha256: str = "",
        registry: str = "",
        vertex: str = "",
        promote: bool = False,
    ) -> Results:
        outputs: dict[str, Any] = {}
        for name, config in experiment.datasets.items():
            options = config.options.model_dump(exclude_unset=True)
            ingested = _named(ingest, "ingest", name)(
                name=name,
                spec=json.dumps({"source": config.source, **options}, sort_keys=True),
                fingerprint=config.facts.fingerprint,
                code_version=code[task_name("ingest", name)],
            )
            outputs[f"dataset_{name}"] = ingested.outputs["dataset"]
            measured = _named(baseline, "baseline", name)(
                code_version=code[task_name("baseline", name)], dataset=ingested.outputs["dataset"]
            )
            outputs[f"baseline_{name}"] = measured.outputs["baselines"]
        for name, spec in experiment.models.items():
            dataset = outputs[f"dataset_{spec.dataset}"]
            placed = placement(spec.machine, target, job=experiment.vertex.tensorboard is not None)
            # A task that only launches a job has no use for the machine's image.
            image = machines()[spec.machine].training_image if spec.machine and not placed.pools else None
            settings = json.dumps(spec.model_dump(exclude={"machine"}, exclude_unset=True), sort_keys=True)
            if name in experiment.tunes:
                searched = _searched(experiment, name, settings, code[task_name("tune", name)], dataset, target, vertex)
                settings = searched.outputs["tuned"]
                outputs[f"tuning_{name}"] = searched.outputs["trials"]
            trained = _named(train, "train", name, image)(
                name=name,
                spec=settings,
                seed=experiment.seed,
                code_version=code[task_name("train", name)],
                dataset=dataset,
                placement=placed.model_dump_json(exclude_defaults=True),
                **({"vertex": vertex} if placed.pools else {}),
            )
            place(trained, spec.machine, target, launches=bool(placed.pools))
            model = trained.outputs["model"]
            classifies = experiment.datasets[spec.dataset].task == "classification"
            evaluate = evaluate_classification if classifies else evaluate_forecasting
            evaluated = _named(evaluate, "evaluate", name)(
                seed=experiment.seed,
                code_version=code[task_name("evaluate", name)],
                dataset=dataset,
                model=model,
            )
            exported = _named(export, "export", name)(
                code_version=code[task_name("export", name)],
                dataset=dataset,
                model=model,
                formats=json.dumps(list(dict.fromkeys(experiment.formats))),
            )
            outputs[f"model_{name}"] = model
            outputs[f"evaluation_{name}"] = evaluated.outputs["evaluation"]
            outputs[f"export_{name}"] = exported.outputs["exported"]
        tuned = [name for name in models if name in experiment.tunes]
        compared = compare_component(datasets, models, tuned)(
            contest=_contest(experiment).model_dump_json(),
            failures=failures,
            pipeline_sha256=pipeline_sha256,
            code_version=code["compare"],
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            **outputs,
        )
        gathered = ("dataset_", "evaluation_", "export_")
        registered = register_component(datasets, models)(
            registry=registry,
            vertex=vertex,
            code_version=code["register"],
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            promote=promote,
            leaderboard=compared.outputs["leaderboard"],
            **{name: value for name, value in outputs.items() if name.startswith(gathered)},
        )
        # It looks at the registry, which may have been changed since.
        registered.set_caching_options(enable_caching=False)
        reported = report_component(datasets, models, tuned)(
            about=_about(experiment, code["compare"]).model_dump_json(),
            failures=failures,
            pipeline_sha256=pipeline_sha256,
            code_version=code["report"],
            leaderboard=compared.outputs["leaderboard"],
            **{name: value for name, value in outputs.items() if not name.startswith("baseline_")},
        )
        return Results(leaderboard=compared.outputs["leaderboard"], report=reported.outputs["page"])

    return pipeline


def _searched(
    experiment: Experiment,
    name: str,
    settings: str,
    code: str,
    dataset: Any,  # noqa: ANN401 (an output)
    target: Target,
    vertex: str,
) -> Any:  # noqa: ANN401 (a PipelineTask)
    """The task that searches for a model's best values. On Vertex each trial has a job on the model's machine."""
    spec = experiment.models[name]
    placed = placement(spec.machine, target, job=True)
    image = machines()[spec.machine].training_image if spec.machine and not placed.pools else None
    searched = _named(tune, "tune", name, image)(
        name=name,
        spec=settings,
        tune=experiment.tunes[name].model_dump_json(exclude_defaults=True),
        seed=experiment.seed,
        code_version=code,
        dataset=dataset,
        placement=placed.model_dump_json(exclude_defaults=True),
        vertex=vertex,
    )
    place(searched, spec.machine, target, launches=bool(placed.pools))
    return searched


def _named(component: Any, step: str, of: str, image: str | None = None) -> Any:  # noqa: ANN401 (a KFP component)
    """A copy of a component under a task's name, which its folder, its log and its cache entry then have."""
    component = copy.deepcopy(component)
    if image:
        component.component_spec.implementation.container.image = image
    component.component_spec.name = task_name(step, of)
    return component


def _about(experiment: Experiment, code_version: str) -> About:
    tasks: dict[str, list[str]] = {}
    for name in experiment.datasets:
        tasks[task_name("ingest", name)] = []
        tasks[task_name("baseline", name)] = [task_name("ingest", name)]
    for name, spec in experiment.models.items():
        ingested, trained = task_name("ingest", spec.dataset), task_name("train", name)
        searched = [task_name("tune", name)] if name in experiment.tunes else []
        tasks |= {search: [ingested] for search in searched}
        tasks[trained] = [ingested, *searched]
        tasks[task_name("evaluate", name)] = tasks[task_name("export", name)] = [ingested, trained]
    tasks["compare"] = list(tasks)
    taken = [name for name in tasks if name.startswith(("ingest-", "evaluate-", "export-"))]
    tasks["register"] = ["compare", *taken]
    tasks["report"] = [name for name in tasks if not name.startswith("baseline-") and name != "register"]
    return About(
        experiment=experiment.name,
        command=experiment.command,
        seed=experiment.seed,
        code_version=code_version,
        tasks=tasks,
    )


def _contest(experiment: Experiment) -> Contest:
    return Contest(
        experiment=experiment.name,
        seed=experiment.seed,
        gates={name: config.gate for name, config in experiment.datasets.items()},
        models={n: {"family": s.family, "dataset": s.dataset} for n, s in experiment.models.items()},
    )
