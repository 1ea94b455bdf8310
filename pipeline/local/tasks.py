"""The tasks of a compiled pipeline, and the ExecutorInput that Kubeflow's launcher would give each of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.graph.compile import read_compiled
from pipeline.local.cache import Outputs

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

    @property
    def trains(self) -> bool:
        """Whether it trains, and so has a machine of its own choice in the cloud.

        The other tasks have no GPU there. Here they don't use one either: an export compares what a model and its
        formats give, and a GPU computes with less precision (TensorFloat-32).
        """
        return "placement" in self.parameters


def read_tasks(path: Path) -> dict[str, Task]:
    """The tasks of a compiled pipeline, each after those that it needs."""
    spec = read_compiled(path)
    tasks = {name: _task(name, task, spec) for name, task in spec["root"]["dag"]["tasks"].items()}
    ordered: dict[str, Task] = {}
    while len(ordered) < len(tasks):
        ordered |= {n: t for n, t in tasks.items() if n not in ordered and ordered.keys() >= set(t.needs)}
    return ordered


def _task(name: str, task: dict[str, Any], spec: dict[str, Any]) -> Task:
    component = spec["components"][task["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    given, defined = task.get("inputs", {}), component.get("inputDefinitions", {})
    parameters = {
        key: {"runtimeValue": {"constant": parameter["defaultValue"]}}
        for key, parameter in defined.get("parameters", {}).items()
        if "defaultValue" in parameter
    }
    sources = {key: source["taskOutputArtifact"] for key, source in given.get("artifacts", {}).items()}
    artifacts = {key: (source["producerTask"], source["outputArtifactKey"]) for key, source in sources.items()}
    required = {of for key, (of, _) in artifacts.items() if not defined["artifacts"][key].get("isOptional")}
    return Task(
        name=name,
        needs=sorted(task.get("dependentTasks", [])),
        optional=frozenset(of for of, _ in artifacts.values()) - required,
        parameters=parameters | given.get("parameters", {}),
        artifacts=artifacts,
        component=component,
        image=container["image"],
        command=[*container["command"], *container.get("args", [])],
        cached=task.get("cachingOptions", {}).get("enableCache", False),
    )


def arguments(task: Task, pipeline: dict[str, Any], outputs: dict[str, Outputs]) -> dict[str, Any]:
    """The values of a task's parameters, from those of the pipeline and the outputs of the tasks before it."""
    values = {}
    for name, source in task.parameters.items():
        if "componentInputParameter" in source:
            value = pipeline[source["componentInputParameter"]]
        elif output := source.get("taskOutputParameter"):
            value = outputs[output["producerTask"]].parameters[output["outputParameterKey"]]
        else:
            value = source["runtimeValue"]["constant"]
        # YAML and JSON may write a whole number with a decimal point.
        whole = task.component["inputDefinitions"]["parameters"][name]["parameterType"] == "NUMBER_INTEGER"
        values[name] = int(value) if whole else value
    return values


def executor_input(
    task: Task, values: dict[str, Any], outputs: dict[str, Outputs], folder: Path, run: str
) -> dict[str, Any]:
    """The ExecutorInput of a task, from its parameters' values and the outputs of the tasks before it.

    It writes its own outputs to `folder`.
    """
    defined = task.component.get("outputDefinitions", {})
    given = {name: (outputs[of], key) for name, (of, key) in task.artifacts.items() if of in outputs}
    return {
        "inputs": {
            "parameterValues": {name: run if value == _RUN else value for name, value in values.items()},
            "artifacts": {
                name: _artifact(name, of.artifacts[key].type, of.path(key), of.artifacts[key].metadata)
                for name, (of, key) in given.items()
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": str(folder / name)} for name in defined.get("parameters", {})},
            "artifacts": {
                name: _artifact(name, output["artifactType"], folder / name, {})
                for name, output in defined.get("artifacts", {}).items()
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def command(task: Task, executor: dict[str, Any]) -> list[str]:
    """The command of a task, with the ExecutorInput in its place."""
    return [part.replace(_EXECUTOR_INPUT, json.dumps(executor)) for part in task.command]


def _artifact(name: str, kind: dict[str, str], path: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"artifacts": [{"name": name, "type": kind, "uri": str(path), "metadata": metadata}]}
