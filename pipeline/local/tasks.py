"""The tasks of a compiled pipeline, and the ExecutorInput that Kubeflow's launcher would give each of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.local.cache import Artifact, Outputs

# What stands for the name of the run (kfp.dsl.PIPELINE_JOB_NAME_PLACEHOLDER), and for the ExecutorInput.
_RUN = "{{$.pipeline_job_name}}"
_EXECUTOR_INPUT = "{{$}}"


@dataclass(frozen=True)
class Task:
    """A task of a compiled pipeline.

    Attributes:
        name: The task's name.
        needs: The names of the tasks that have to end before it starts.
        optional: The names among them whose outputs it can do without.
        parameters: The source of each parameter's value, in the compiled file's form. Defaults are included.
        artifacts: For each input artifact, the task that produces it and the output's name there.
        component: The component's inputs and outputs, in the compiled file's form.
        image: The name of its container's image.
        command: The command with its arguments, in which KFP's placeholders stand.
        cached: Whether its outputs are used again while nothing that it depends on changes.
    """

    name: str
    needs: list[str]
    optional: frozenset[str]
    parameters: dict[str, Any]
    artifacts: dict[str, tuple[str, str]]
    component: dict[str, Any]
    image: str
    command: list[str]
    cached: bool


def read_tasks(path: Path) -> dict[str, Task]:
    """The tasks of a compiled pipeline, each after those that it needs."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open(encoding="utf-8") as file:
        spec = next(yaml.load_all(file, loader))
    tasks = {name: _task(name, task, spec) for name, task in spec["root"]["dag"]["tasks"].items()}
    ordered: dict[str, Task] = {}
    while len(ordered) < len(tasks):
        ordered |= {n: t for n, t in tasks.items() if n not in ordered and ordered.keys() >= set(t.needs)}
    return ordered


def _task(name: str, task: dict[str, Any], spec: dict[str, Any]) -> Task:
    component = spec["components"][task["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    inputs, defined = task.get("inputs", {}), component.get("inputDefinitions", {})
    sources = {key: source["taskOutputArtifact"] for key, source in inputs.get("artifacts", {}).items()}
    optional = {key for key in sources if defined["artifacts"][key].get("isOptional")}
    needs = set(task.get("dependentTasks", []))
    defaults = {
        key: {"runtimeValue": {"constant": parameter["defaultValue"]}}
        for key, parameter in defined.get("parameters", {}).items()
        if "defaultValue" in parameter
    }
    return Task(
        name=name,
        needs=sorted(needs),
        optional=frozenset(
            {sources[key]["producerTask"] for key in optional}
            - {source["producerTask"] for key, source in sources.items() if key not in optional}
        ),
        parameters={**defaults, **inputs.get("parameters", {})},
        artifacts={key: (source["producerTask"], source["outputArtifactKey"]) for key, source in sources.items()},
        component=component,
        image=container["image"],
        command=[*container["command"], *container.get("args", [])],
        cached=task.get("cachingOptions", {}).get("enableCache", False),
    )


def arguments(task: Task, pipeline: dict[str, Any], outputs: dict[str, Outputs]) -> dict[str, Any]:
    """The values of a task's parameters.

    Args:
        task: The task.
        pipeline: The values of the pipeline's parameters.
        outputs: The outputs of the tasks before it.
    """
    values = {}
    for name, source in task.parameters.items():
        if "componentInputParameter" in source:
            value = pipeline[source["componentInputParameter"]]
        elif "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            value = outputs[output["producerTask"]].parameters[output["outputParameterKey"]]
        else:
            value = source["runtimeValue"]["constant"]
        # YAML and JSON may write a whole number with a decimal point.
        whole = task.component["inputDefinitions"]["parameters"][name]["parameterType"] == "NUMBER_INTEGER"
        values[name] = int(value) if whole else value
    return values


def executor_input(
    task: Task, values: dict[str, Any], inputs: dict[str, tuple[Path, Artifact]], folder: Path, run: str
) -> dict[str, Any]:
    """The ExecutorInput of a task.

    Args:
        task: The task.
        values: The values of its parameters.
        inputs: Its input artifacts, each with the folder of the task that produced it.
        folder: The folder for its outputs.
        run: The run's name.
    """
    defined = task.component.get("outputDefinitions", {})
    return {
        "inputs": {
            "parameterValues": {name: run if value == _RUN else value for name, value in values.items()},
            "artifacts": {
                name: _artifact(name, artifact.type, _uri(producer, artifact.path), artifact.metadata)
                for name, (producer, artifact) in inputs.items()
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(folder / name)} for name in defined.get("parameters", {})},
            "artifacts": {
                name: _artifact(name, output["artifactType"], str(folder / name), {})
                for name, output in defined.get("artifacts", {}).items()
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def command(task: Task, executor: dict[str, Any]) -> list[str]:
    """The command of a task, with the ExecutorInput in its place."""
    return [part.replace(_EXECUTOR_INPUT, json.dumps(executor)) for part in task.command]


def _artifact(name: str, kind: dict[str, str], uri: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"artifacts": [{"name": name, "type": kind, "uri": uri, "metadata": metadata}]}


def _uri(folder: Path, place: str) -> str:
    return place if "://" in place else str(folder / place)
