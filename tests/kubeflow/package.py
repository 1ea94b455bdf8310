"""Reads an uploaded pipeline and refuses what would fail in the cluster."""

import re
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

SCHEMA = "2.1.0"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?")
# As Kubernetes names extended resources: domain/name.
_RESOURCE = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


class PackageError(ValueError):
    """What is wrong with a package or a run's parameters."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice; YAML itself takes the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise PackageError(f"{sorted(twice)[0]} comes twice")
        return super().construct_mapping(node, deep)


def read(content: bytes) -> dict[str, Any]:
    """The pipeline of a package that the cluster could run.

    Raises:
        PackageError: It couldn't.
    """
    try:
        documents = list(yaml.load_all(content.decode(), _Loader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PackageError(f"not YAML: {error}") from None
    if not 1 <= len(documents) <= 2 or not all(isinstance(document, dict) for document in documents):
        raise PackageError(f"expected a pipeline and perhaps a platform, got {len(documents)} documents")
    spec = documents[0]
    _parse(spec, pipeline_spec_pb2.PipelineSpec(), "pipeline spec")
    if spec.get("schemaVersion") != SCHEMA:
        raise PackageError(f"schemaVersion {spec.get('schemaVersion')}, expected {SCHEMA}")
    if not _NAME.fullmatch(spec["pipelineInfo"]["name"]):
        raise PackageError(f"pipelineInfo.name {spec['pipelineInfo']['name']!r} is no name")
    executors = spec["deploymentSpec"]["executors"]
    for label, executor in executors.items():
        _check_executor(label, executor)
    used = set()
    for name, component in spec["components"].items():
        if (label := component.get("executorLabel")) not in executors:
            raise PackageError(f"component {name}: no executor {label}")
        used.add(label)
    if unused := executors.keys() - used:
        raise PackageError(f"executors that no component names: {sorted(unused)}")
    _check_graph(spec)
    if len(documents) == 2:
        _check_platform(documents[1], executors)
    return dict(spec)


def check_parameters(spec: dict[str, Any], values: dict[str, Any]) -> None:
    """Hold a run's parameters against the pipeline's.

    Raises:
        PackageError: One is unknown, missing or of another type.
    """
    _check_values("run", values, spec["root"].get("inputDefinitions", {}).get("parameters", {}))


def _parse(document: dict[str, Any], message: Any, what: str) -> Any:
    try:
        return json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        raise PackageError(f"{what}: {error}") from None


def _check_executor(label: str, executor: dict[str, Any]) -> None:
    container = executor.get("container", {})
    if not container.get("image") or not container.get("command"):
        raise PackageError(f"executor {label}: no image or no command")
    accelerator = container.get("resources", {}).get("accelerator")
    if accelerator is None:
        return
    # What a cluster doesn't know as a resource leaves the pod pending for ever.
    for key in ("resourceType", "type"):
        if not _RESOURCE.fullmatch(accelerator.get(key, "")):
            raise PackageError(f"executor {label}: {key} {accelerator.get(key)!r} is no resource of Kubernetes")
    if not str(accelerator.get("resourceCount", "")).isdigit() or int(accelerator["resourceCount"]) < 1:
        raise PackageError(f"executor {label}: resourceCount {accelerator.get('resourceCount')!r}")


def _check_output(
    name: str, task: dict[str, Any], source: dict[str, str], tasks: dict[str, Any], components: dict[str, Any]
) -> None:
    """A parameter comes from a task that is done by then, and that gives it."""
    producer, key = source["producerTask"], source["outputParameterKey"]
    if producer not in task.get("dependentTasks", []):
        raise PackageError(f"task {name}: takes {key} of {producer}, which it doesn't depend on")
    outputs = components[tasks[producer]["componentRef"]["name"]].get("outputDefinitions", {})
    if key not in outputs.get("parameters", {}):
        raise PackageError(f"task {name}: takes {key} of {producer}, which doesn't give it")


def _check_graph(spec: dict[str, Any]) -> None:
    tasks, components = spec["root"]["dag"]["tasks"], spec["components"]
    root = spec["root"].get("inputDefinitions", {})
    for name, task in tasks.items():
        if not _NAME.fullmatch(name) or task["taskInfo"]["name"] != name:
            raise PackageError(f"task {name!r}: no name, or taskInfo has another one")
        if task["componentRef"]["name"] not in components:
            raise PackageError(f"task {name}: no component {task['componentRef']['name']}")
        if strangers := set(task.get("dependentTasks", [])) - tasks.keys():
            raise PackageError(f"task {name}: depends on {sorted(strangers)}, which aren't there")
    done: set[str] = set()
    while ready := {n for n in tasks.keys() - done if done.issuperset(tasks[n].get("dependentTasks", []))}:
        done |= ready
    if done != tasks.keys():
        raise PackageError(f"tasks that wait for each other: {sorted(tasks.keys() - done)}")
    for name, task in tasks.items():
        wanted = components[task["componentRef"]["name"]].get("inputDefinitions", {})
        inputs = task.get("inputs", {})
        constants = {}
        for key, given in inputs.get("parameters", {}).items():
            if "runtimeValue" in given:
                constants[key] = given["runtimeValue"]["constant"]
            elif source := given.get("taskOutputParameter"):
                _check_output(name, task, source, tasks, components)
            elif given.get("componentInputParameter") not in root.get("parameters", {}):
                raise PackageError(f"task {name}: parameter {key} comes from {given}, which isn't there")
        given = constants.keys() | inputs.get("parameters", {}).keys()
        _check_values(f"task {name}", constants, wanted.get("parameters", {}), given)
        artifacts = inputs.get("artifacts", {})
        missing = {key for key, one in wanted.get("artifacts", {}).items() if not one.get("isOptional")}
        if artifacts.keys() - wanted.get("artifacts", {}).keys() or missing - artifacts.keys():
            raise PackageError(f"task {name}: artifacts {sorted(artifacts)}, expected {sorted(missing)}")
        for key, given_artifact in artifacts.items():
            source = given_artifact["taskOutputArtifact"]
            if source["producerTask"] not in task.get("dependentTasks", []):
                raise PackageError(f"task {name}: {key} comes from a task that it doesn't depend on")
            made = components[tasks[source["producerTask"]]["componentRef"]["name"]].get("outputDefinitions", {})
            if source["outputArtifactKey"] not in made.get("artifacts", {}):
                raise PackageError(f"task {name}: {source['producerTask']} has no output {source['outputArtifactKey']}")


def _check_values(whose: str, values: dict[str, Any], wanted: dict[str, Any], given: Any = None) -> None:
    for name, value in values.items():
        if name not in wanted:
            raise PackageError(f"{whose}: parameter {name} is not defined")
        kind = wanted[name]["parameterType"]
        wrong = isinstance(value, bool) != (kind == "BOOLEAN") or not isinstance(value, _TYPES[kind])
        if wrong or (kind == "NUMBER_INTEGER" and value != int(value)):
            raise PackageError(f"{whose}: parameter {name} is {value!r}, expected {kind}")
    for name, definition in wanted.items():
        optional = "defaultValue" in definition or definition.get("isOptional")
        if not optional and name not in (values if given is None else given):
            raise PackageError(f"{whose}: parameter {name} is missing")


def _check_platform(document: dict[str, Any], executors: dict[str, Any]) -> None:
    from kfp.kubernetes import kubernetes_executor_config_pb2

    _parse(document, pipeline_spec_pb2.PlatformSpec(), "platform spec")
    if document["platforms"].keys() != {"kubernetes"}:
        raise PackageError(f"platforms {sorted(document['platforms'])}, expected kubernetes")
    for label, config in document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        if label not in executors:
            raise PackageError(f"platform: no executor {label}")
        _parse(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig(), f"platform of {label}")
        for key, value in config.get("nodeSelector", {}).get("labels", {}).items():
            if not _LABEL_VALUE.fullmatch(value):
                raise PackageError(f"platform of {label}: node label {key} can't be {value!r}")
