"""The KFP pipeline of an experiment: its tasks, connected."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl

from components.common.image_names import SERVING_IMAGE
from pipeline.experiment.experiment import Experiment
from pipeline.experiment.machines import Target, machines, place
from pipeline.experiment.pods import settle_pod
from pipeline.graph.tasks import TaskSpec, tasks


class Results(NamedTuple):
    """What a pipeline gives: the folder of the leaderboard, and the page about the run."""

    leaderboard: dsl.Artifact
    report: dsl.HTML


def define(experiment: Experiment, target: Target = "vertex") -> Callable[..., Any]:
    """Build the pipeline function of an experiment.

    Its parameters have defaults that suit every runner: `failures`, JSON of the tasks that failed and why,
    where a run goes on without them; `pipeline_sha256`, digest of the compiled file; `registry`, the folder
    that models are registered in; `vertex`, JSON of a `components.vertex.client.Vertex` where it runs on Vertex AI;
    `promote`, whether a winner takes the place of a version that it can't be told apart from; `checkpoints`, the folder
    of trainings that aren't finished.

    Args:
        experiment: The experiment.
        target: How accelerators and nodes are named: as Vertex AI does, which local runs ignore, or Kubernetes.
    """

    @dsl.pipeline(
        name=experiment.name.replace("_", "-"),
        description=f"Models: {len(experiment.models)}. Data sets: {len(experiment.datasets)}.",
    )
    def pipeline(
        failures: str = "{}",
        pipeline_sha256: str = "",
        registry: str = experiment.kubeflow.registers_in if target == "kubeflow" else "",
        vertex: str = "",
        promote: bool = False,
        checkpoints: str = experiment.kubeflow.checkpoints if target == "kubeflow" else "",
    ) -> Results:
        given = {
            "failures": failures,
            "pipeline_sha256": pipeline_sha256,
            "registry": registry,
            "vertex": vertex,
            "promote": promote,
            "checkpoints": checkpoints,
        }
        made: dict[str, Any] = {}
        for task in tasks(experiment, target):
            component = _named(task)
            known = {key: value for key, value in given.items() if key in component.component_spec.inputs}
            if task.placement and not task.launches:
                del known["vertex"]  # it trains where it stands, on Vertex AI too
            inputs = {name: made[of.name].outputs[output] for name, (of, output) in task.inputs.items()}
            made[task.name] = component(code_version=task.code_version, **known, **task.arguments, **inputs)
            made[task.name].set_caching_options(enable_caching=task.cached)
            if task.placement:
                place(made[task.name], task.machine, target, task.launches)
            if target == "kubeflow":
                settle_pod(made[task.name], bool(task.placement) or task.name == "register", experiment.kubeflow.claim)
                if task.name == "register":  # for KServe's manifests
                    made[task.name].set_env_variable("IMAGE_SERVING", SERVING_IMAGE)
        return Results(made["compare"].outputs["leaderboard"], made["report"].outputs["page"])

    return pipeline


def _named(task: TaskSpec) -> Any:  # noqa: ANN401 (a KFP component)
    """Its component, under the name that the task's folder, log and cache entry then have."""
    component = copy.deepcopy(task.component)
    component.component_spec.name = task.name
    # A task that only launches a job has no use for its machine's image.
    if task.machine and not task.launches:
        component.component_spec.implementation.container.image = machines()[task.machine].training_image
    return component
