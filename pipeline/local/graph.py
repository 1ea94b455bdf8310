"""The tasks of a compiled pipeline, and why each of them runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# These take what there is of the others' outputs.
GATHERING = ("compare", "register", "report")


@dataclass(frozen=True)
class Task:
    """A task of a compiled pipeline.

    Attributes:
        name: Its name.
        needs: Names of the tasks whose outputs it takes.
        arguments: Its constant arguments.
        image: Of its container.
        command: What it runs: a digest's worth of text.
    """

    name: str
    needs: list[str]
    arguments: dict[str, Any]
    image: str
    command: str


def read_tasks(spec: dict[str, Any]) -> dict[str, Task]:
    """The tasks of a pipeline spec, each after those that it needs."""
    tasks = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        parameters = task.get("inputs", {}).get("parameters", {})
        component = spec["components"][task["componentRef"]["name"]]
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        tasks[name] = Task(
            name=name,
            needs=sorted(task.get("dependentTasks", [])),
            arguments={k: v["runtimeValue"].get("constant") for k, v in parameters.items() if "runtimeValue" in v},
            image=container["image"],
            command=json.dumps([container["image"], container["command"]]),
        )
    ordered: dict[str, Task] = {}
    while len(ordered) < len(tasks):
        for name, known in tasks.items():
            if name not in ordered and all(need in ordered for need in known.needs):
                ordered[name] = known
    return ordered


def read_spec(path: Path) -> dict[str, Any]:
    """Read a compiled pipeline."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return next(yaml.load_all(path.read_text(encoding="utf-8"), loader))


def without(spec: dict[str, Any], failed: set[str]) -> dict[str, Any]:
    """A pipeline without the failed tasks and those that need them; compare, register and report do without.

    Args:
        spec: The pipeline; it isn't changed.
        failed: Names of the failed tasks.
    """
    spec = json.loads(json.dumps(spec))
    gone = set(failed)
    for task in read_tasks(spec).values():
        if task.name not in GATHERING and gone & set(task.needs):
            gone.add(task.name)
    tasks = spec["root"]["dag"]["tasks"]
    for name in gone:
        del tasks[name]
    for name in set(tasks) & set(GATHERING):
        artifacts = tasks[name]["inputs"].get("artifacts", {})
        for key, source in list(artifacts.items()):
            if source["taskOutputArtifact"]["producerTask"] in gone:
                del artifacts[key]
        tasks[name]["dependentTasks"] = [need for need in tasks[name]["dependentTasks"] if need not in gone]
    results = spec["root"]["dag"]["outputs"]["artifacts"]
    for name, result in list(results.items()):
        if result["artifactSelectors"][0]["producerSubtask"] in gone:
            del results[name], spec["root"]["outputDefinitions"]["artifacts"][name]
    used = {task["componentRef"]["name"] for task in tasks.values()}
    spec["components"] = {name: c for name, c in spec["components"].items() if name in used}
    labels = {component["executorLabel"] for component in spec["components"].values()}
    executors = spec["deploymentSpec"]["executors"]
    spec["deploymentSpec"]["executors"] = {label: e for label, e in executors.items() if label in labels}
    return spec


def why(task: Task, before: dict[str, Any] | None, ran: set[str]) -> str:
    """Why a task runs.

    Args:
        task: The task.
        before: Its arguments and command when it last finished, as `remember` gave them.
        ran: Tasks that ran before it in this run.
    """
    if before is None:
        return "first time"
    for name, value in task.arguments.items():
        old = before["arguments"].get(name)
        if value != old:
            return _difference(name, old, value)
    if before["command"] != task.command:
        return "its component or image changed"
    if after := [need for need in task.needs if need in ran]:
        return f"after {after[0]}" + (f" and {len(after) - 1} more" if len(after) > 1 else "")
    return "its outputs are gone or incomplete"


def remember(task: Task) -> dict[str, Any]:
    """What `why` has to know of a task the next time."""
    return {"arguments": task.arguments, "command": task.command}


def _difference(name: str, old: Any, new: Any) -> str:  # noqa: ANN401 (JSON values)
    if name == "code_version":
        return "its code changed"
    if name == "fingerprint":
        return "its data changed"
    try:
        before, after = json.loads(old), json.loads(new)
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    except (TypeError, ValueError, AttributeError):
        return f"{name}: {old} → {new}"
    shown = [f"{key}: {_short(before.get(key))} → {_short(after.get(key))}" for key in changed[:2]]
    return ", ".join(shown) + (" …" if len(changed) > 2 else "")


def _short(value: Any) -> str:  # noqa: ANN401 (JSON values)
    text = "default" if value is None else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"
