"""Hold a compiled pipeline against kfp's pipeline spec."""

from collections import Counter
from typing import Any

import machine_types
from errors import Found
from google.protobuf.json_format import ParseDict, ParseError
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

_SCHEMA = "2.1.0"


def check(found: Found, spec: dict[str, Any], field: str) -> None:
    """Whether a spec is one, by kfp's own proto, and can be run at all."""
    try:
        ParseDict(spec, PipelineSpec())
    except ParseError as error:
        found.add(field, str(error))
    schema = spec.get("schemaVersion")
    found.need(schema == _SCHEMA, f"{field}.schemaVersion", f"'{schema}' is not supported, expected {_SCHEMA}")
    found.need(spec.get("sdkVersion"), f"{field}.sdkVersion", "is missing")
    found.need(spec.get("pipelineInfo", {}).get("name"), f"{field}.pipelineInfo.name", "is missing")
    tasks = spec.get("root", {}).get("dag", {}).get("tasks", {})
    found.need(tasks, f"{field}.root.dag.tasks", "has no tasks")
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for name, task in tasks.items():
        here, reference = f"{field}.root.dag.tasks.{name}", task.get("componentRef", {}).get("name")
        component = spec.get("components", {}).get(reference)
        if found.need(component, f"{here}.componentRef", f"'{reference}' is not in components"):
            label = component.get("executorLabel")
            found.need(label in executors, f"{here}.executorLabel", f"'{label}' is not in deploymentSpec.executors")
        for other in needs(task):
            found.need(other in tasks and other != name, f"{here}.dependentTasks", f"there is no task '{other}'")
    for name, executor in executors.items():
        here, container = f"{field}.deploymentSpec.executors.{name}.container", executor.get("container", {})
        found.need(container.get("image"), f"{here}.image", "is empty")
        if accelerator := container.get("resources", {}).get("accelerator"):
            gpu, count = _accelerator(accelerator)
            right = count in machine_types.GPUS.get(gpu, ())
            found.need(right, f"{here}.resources.accelerator", f"{count} of {gpu} is not supported")


def _accelerator(accelerator: dict[str, Any]) -> tuple[str, int]:
    """Both ways in which kfp writes it: as strings since 2.8, and as it was before, beside them."""
    return accelerator.get("resourceType", accelerator.get("type")), int(accelerator.get("resourceCount", 0))


def gpus(spec: dict[str, Any]) -> dict[str, int]:
    """The most of each quota that one task of a pipeline needs."""
    most: Counter[str] = Counter()
    for executor in spec["deploymentSpec"]["executors"].values():
        if accelerator := executor["container"].get("resources", {}).get("accelerator"):
            name, count = _accelerator(accelerator)
            most |= Counter({machine_types.metric(name): count})
    return dict(most)


def needs(task: dict[str, Any]) -> set[str]:
    """The tasks that come before a task: those whose outputs it takes, too."""
    found, inputs = {*task.get("dependentTasks", [])}, task.get("inputs", {})
    for value in (*inputs.get("artifacts", {}).values(), *inputs.get("parameters", {}).values()):
        for source in ("taskOutputArtifact", "taskOutputParameter"):
            found.add(value.get(source, {}).get("producerTask"))
    return found - {None}
