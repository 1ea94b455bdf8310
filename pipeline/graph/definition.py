"""The KFP pipeline of an experiment, with its connected tasks."""

import copy
from typing import NamedTuple

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.common.image_names import SERVING_IMAGE
from pipeline.experiment.experiment import Experiment
from pipeline.experiment.machines import Target, machines
from pipeline.graph.task_machines import request_machine, request_pod
from pipeline.graph.tasks import TaskSpec, tasks


class Results(NamedTuple):
    """The outputs of a pipeline: the folder of the leaderboard, and the page about the run."""

    leaderboard: dsl.Artifact
    report: dsl.HTML


def define(experiment: Experiment, target: Target = "vertex") -> BaseComponent:
    """Build the pipeline of an experiment.

    Its parameters have defaults that suit every runner: `failures`, JSON of the failed tasks and their errors, where a
    run goes on without them; `pipeline_sha256`, the digest of the compiled file; `registry`, the folder of registered
    models; `vertex`, JSON of a `components.vertex.client.Vertex` where the pipeline runs on Vertex AI; `promote`,
    whether a winner replaces a version that isn't clearly worse; `checkpoints`, the folder of unfinished trainings.
    """

    @dsl.pipeline(
        name=experiment.name.replace("_", "-"),
        description=f"Models: {len(experiment.models)}. Data sets: {len(experiment.datasets)}.",
    )
    def pipeline(
        failures: str = "{}",
        pipeline_sha256: str = "",
        registry: str = experiment.kubeflow.registry_folder if target == "kubeflow" else "",
        vertex: str = "",
        promote: bool = False,
        checkpoints: str = experiment.kubeflow.checkpoints if target == "kubeflow" else "",
    ) -> Results:
        parameters = {
            "failures": failures,
            "pipeline_sha256": pipeline_sha256,
            "registry": registry,
            "vertex": vertex,
            "promote": promote,
            "checkpoints": checkpoints,
        }
        kfp_tasks: dict[str, dsl.PipelineTask] = {}
        for task in tasks(experiment, target):
            component = _named_component(task)
            arguments = {key: value for key, value in parameters.items() if key in component.component_spec.inputs}
            if task.placement and not task.launches:
                del arguments["vertex"]  # the task itself trains, even on Vertex AI
            inputs = {name: kfp_tasks[source.name].outputs[output] for name, (source, output) in task.inputs.items()}
            kfp_task = component(code_version=task.code_version, **arguments, **task.arguments, **inputs)
            kfp_task.set_caching_options(enable_caching=task.cached)
            if task.placement:
                request_machine(kfp_task, task.machine, target, task.launches)
            if target == "kubeflow":
                request_pod(kfp_task, bool(task.placement) or task.name == "register", experiment.kubeflow.claim)
                if task.name == "register":  # for KServe's manifests
                    kfp_task.set_env_variable("IMAGE_SERVING", SERVING_IMAGE)
            kfp_tasks[task.name] = kfp_task
        return Results(kfp_tasks["compare"].outputs["leaderboard"], kfp_tasks["report"].outputs["page"])

    return pipeline


def _named_component(task: TaskSpec) -> BaseComponent:
    """A copy of a task's component with the task's name, which its folder, log and cache entry then have."""
    component = copy.deepcopy(task.component)
    component.component_spec.name = task.name
    # A task that only launches a job doesn't need the machine's image.
    if task.machine and not task.launches:
        component.component_spec.implementation.container.image = machines()[task.machine].training_image
    return component
