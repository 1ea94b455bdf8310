"""Hold a compiled pipeline, and the values of a run, against kfp's pipeline spec."""

from collections import Counter
from typing import Any

import machine_types
from errors import Found
from google.protobuf.json_format import ParseDict, ParseError
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

_NUMBERS = (int, float)
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
        _executor(found, executor.get("container", {}), f"{field}.deploymentSpec.executors.{name}.container")


def _executor(found: Found, container: dict[str, Any], field: str) -> None:
    found.need(container.get("image"), f"{field}.image", "is empty")
    if accelerator := container.get("resources", {}).get("accelerator"):
        name, count = _accelerator(accelerator)
        here, counts = f"{field}.resources.accelerator", machine_types.GPUS.get(name)
        if found.need(counts, f"{here}.type", f"Accelerator type '{name}' is not supported"):
            found.need(count in counts, f"{here}.count", f"{count} of {name} is not supported, expected {counts}")


def _accelerator(accelerator: dict[str, Any]) -> tuple[str, int]:
    """Both ways in which kfp writes it: as strings since 2.8, and as it was before, beside them."""
    count = accelerator.get("resourceCount") or accelerator.get("count") or 0
    return accelerator.get("resourceType") or accelerator.get("type") or "", int(count)


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
    found = {*task.get("dependentTasks", [])}
    for value in task.get("inputs", {}).get("artifacts", {}).values():
        found.add(value.get("taskOutputArtifact", {}).get("producerTask"))
    for value in task.get("inputs", {}).get("parameters", {}).values():
        found.add(value.get("taskOutputParameter", {}).get("producerTask"))
        found.add(value.get("taskFinalStatus", {}).get("producerTask"))
    return found - {None}


def check_values(found: Found, spec: dict[str, Any], values: dict[str, Any], field: str) -> None:
    """Whether the values of a run are those that the pipeline's parameters want."""
    wanted = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, value in values.items():
        if found.need(name in wanted, field, f"the pipeline has no parameter '{name}'"):
            kind = wanted[name].get("parameterType", "")
            found.need(_fits(value, kind), f"{field}.{name}", f"{value!r} is not of the type {kind}")
    for name, definition in wanted.items():
        given = name in values or "defaultValue" in definition or definition.get("isOptional")
        found.need(given, field, f"the parameter '{name}' of type {definition.get('parameterType')} is missing")


def _fits(value: Any, kind: str) -> bool:
    truth = isinstance(value, bool)
    return {
        "STRING": isinstance(value, str),
        "NUMBER_INTEGER": isinstance(value, _NUMBERS) and not truth and float(value).is_integer(),
        "NUMBER_DOUBLE": isinstance(value, _NUMBERS) and not truth,
        "BOOLEAN": truth,
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }.get(kind, False)
