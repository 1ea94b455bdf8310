"""Hold a compiled pipeline, and the values of a run, against kfp's pipeline spec."""

from collections import Counter
from typing import Any

import machine_types
from errors import Found

_NUMBERS = (int, float)
_SCHEMA = "2.1.0"


def check(found: Found, spec: dict[str, Any], field: str = "pipeline_job.pipeline_spec") -> None:
    """Whether a spec can be run at all."""
    schema = spec.get("schemaVersion")
    found.need(schema == _SCHEMA, f"{field}.schemaVersion", f"'{schema}' is not supported, expected {_SCHEMA}")
    found.need(spec.get("sdkVersion"), f"{field}.sdkVersion", "is missing")
    found.need(spec.get("pipelineInfo", {}).get("name"), f"{field}.pipelineInfo.name", "is missing")
    tasks = spec.get("root", {}).get("dag", {}).get("tasks")
    if not found.need(tasks, f"{field}.root.dag.tasks", "has no tasks"):
        return
    _dag(found, spec, spec["root"], f"{field}.root")
    for name, component in spec.get("components", {}).items():
        here = f"{field}.components.{name}"
        if "dag" in component:
            _dag(found, spec, component, here)
        elif found.need(label := component.get("executorLabel"), here, "has neither a dag nor an executorLabel"):
            known = label in spec.get("deploymentSpec", {}).get("executors", {})
            found.need(known, f"{here}.executorLabel", f"'{label}' is not in deploymentSpec.executors")
    for name, executor in spec.get("deploymentSpec", {}).get("executors", {}).items():
        _executor(found, executor, f"{field}.deploymentSpec.executors.{name}")


def _dag(found: Found, spec: dict[str, Any], component: dict[str, Any], field: str) -> None:
    tasks = component["dag"].get("tasks", {})
    inputs = component.get("inputDefinitions", {})
    for name, task in tasks.items():
        here = f"{field}.dag.tasks.{name}"
        reference = task.get("componentRef", {}).get("name")
        known = reference in spec.get("components", {})
        found.need(known, f"{here}.componentRef", f"'{reference}' is not in components")
        for other in task.get("dependentTasks", []):
            found.need(other in tasks and other != name, f"{here}.dependentTasks", f"there is no task '{other}'")
        for other in producers(task):
            found.need(other in tasks and other != name, f"{here}.inputs", f"there is no producer task '{other}'")
        for key, value in task.get("inputs", {}).get("parameters", {}).items():
            outer = value.get("componentInputParameter")
            fine = outer is None or outer in inputs.get("parameters", {}) or outer.startswith("pipelinechannel--")
            found.need(fine, f"{here}.inputs.parameters.{key}", f"there is no parameter '{outer}'")
        if known:
            _arguments(found, task, spec["components"][reference], here)
    found.need(not _circle(tasks), f"{field}.dag.tasks", f"depend on each other in a circle: {_circle(tasks)}")


def _arguments(found: Found, task: dict[str, Any], component: dict[str, Any], field: str) -> None:
    for kind in ("parameters", "artifacts"):
        wanted = component.get("inputDefinitions", {}).get(kind, {})
        given = task.get("inputs", {}).get(kind, {})
        for name in given:
            found.need(name in wanted, f"{field}.inputs.{kind}", f"the component has no input '{name}'")
        for name, definition in wanted.items():
            looped = any(key.endswith("Iterator") for key in task)
            free = "defaultValue" in definition or definition.get("isOptional") or looped
            found.need(name in given or free, f"{field}.inputs.{kind}", f"the input '{name}' is missing")


def _executor(found: Found, executor: dict[str, Any], field: str) -> None:
    container = executor.get("container")
    if container is None:
        found.need("importer" in executor, field, "has neither a container nor an importer")
        return
    found.need(container.get("image"), f"{field}.container.image", "is empty")
    resources = container.get("resources", {})
    if "accelerator" not in resources:
        return
    name, count = _accelerator(resources["accelerator"])
    here = f"{field}.container.resources.accelerator"
    counts = machine_types.GPUS.get(name)
    if found.need(counts, f"{here}.type", f"Accelerator type '{name}' is not supported"):
        found.need(count in counts, f"{here}.count", f"{count} of {name} is not supported, expected one of {counts}")


def _accelerator(accelerator: dict[str, Any]) -> tuple[str, int]:
    """Both ways in which kfp writes it: as strings since 2.8, and as it was before, beside them."""
    name = accelerator.get("resourceType") or accelerator.get("type") or ""
    count = accelerator.get("resourceCount") or accelerator.get("count") or 0
    try:
        return str(name), int(count)
    except ValueError:
        return str(name), 0


def gpus(spec: dict[str, Any]) -> dict[str, int]:
    """The most of each quota that one task of a pipeline needs."""
    most: Counter[str] = Counter()
    for executor in spec.get("deploymentSpec", {}).get("executors", {}).values():
        accelerator = executor.get("container", {}).get("resources", {}).get("accelerator")
        if accelerator:
            name, count = _accelerator(accelerator)
            most |= Counter({machine_types.metric(name): count})
    return dict(most)


def producers(task: dict[str, Any]) -> set[str]:
    """The tasks whose outputs a task takes."""
    found = set()
    for value in task.get("inputs", {}).get("artifacts", {}).values():
        found.add(value.get("taskOutputArtifact", {}).get("producerTask"))
    for value in task.get("inputs", {}).get("parameters", {}).values():
        found.add(value.get("taskOutputParameter", {}).get("producerTask"))
        found.add(value.get("taskFinalStatus", {}).get("producerTask"))
    return {name for name in found if name}


def needs(task: dict[str, Any]) -> set[str]:
    """The tasks that come before a task."""
    return {*task.get("dependentTasks", []), *producers(task)}


def _circle(tasks: dict[str, Any]) -> list[str]:
    left = {name: needs(task) & tasks.keys() for name, task in tasks.items()}
    while free := [name for name, before in left.items() if not before]:
        for name in free:
            del left[name]
        left = {name: before - set(free) for name, before in left.items()}
    return sorted(left)


def check_values(found: Found, spec: dict[str, Any], values: dict[str, Any], field: str) -> None:
    """Whether the values of a run are those that the pipeline's parameters want."""
    wanted = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, value in values.items():
        if not found.need(name in wanted, field, f"the pipeline has no parameter '{name}'"):
            continue
        kind = wanted[name].get("parameterType", "")
        found.need(_fits(value, kind), f"{field}.{name}", f"{_whole(value)!r} is not of the type {kind}")
    for name, definition in wanted.items():
        given = name in values or "defaultValue" in definition or definition.get("isOptional")
        found.need(given, field, f"the parameter '{name}' of type {definition.get('parameterType')} is missing")


def _whole(value: Any) -> Any:
    """A number as it was written: the protocol knows floating point ones alone."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
