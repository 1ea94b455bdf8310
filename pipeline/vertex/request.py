"""The request that submits a compiled pipeline: made and checked before anything is sent."""

import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from components.common.errors import InputError
from components.common.image_names import GPU_IMAGE, IMAGE, TPU_IMAGE
from components.vertex.checkpoints import OWN_BUCKET
from components.vertex.client import Vertex, VertexOptions
from pipeline.experiment.experiment import Experiment
from pipeline.vertex.settings import Settings

JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
# cloud.google.com/resource-manager/docs/labels-overview
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
SUBMISSION = "submission"
# Of a task's input artifacts: Vertex AI answers "Maximum allowed: 100" (kubeflow/kubeflow issue 7513).
MAX_ARTIFACTS = 100
_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def new_job_id(experiment: str) -> str:
    """An id of a job that nobody has used: the experiment, the time and four random digits."""
    name = experiment.replace("_", "-")
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def pipeline_job(
    experiment: Experiment,
    path: Path,
    digest: str,
    settings: Settings,
    parameters: dict[str, Any],
    *,
    fail_fast: bool = False,
    moving_tags: bool = False,
) -> dict[str, Any]:
    """Make a PipelineJob, as the JSON of its message.

    Args:
        experiment: The experiment.
        path: Its compiled file.
        digest: The file's SHA-256.
        settings: Where it runs.
        parameters: Values for parameters of the compiled file, besides those that are filled in here.
        fail_fast: Stop at the first failed task; otherwise what doesn't depend on it goes on.
        moving_tags: Accept images named by a tag.

    Returns:
        The job: display_name, pipeline_spec, runtime_config, labels, service_account, and what says its network and
        its key.

    Raises:
        InputError: Something in it would be refused, or accepted and go wrong later.
    """
    spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    options = experiment.vertex
    labels = {
        **options.labels,
        "experiment": experiment.name,
        "pipeline": digest[:16],
        SUBMISSION: secrets.token_hex(8),
    }
    check_data(experiment)
    check_labels(labels)
    check_images(spec, moving_tags)
    check_artifacts(spec)
    check_options(options, settings)
    check_serving(experiment, moving_tags)
    vertex = Vertex(
        **options.model_dump(exclude={"labels"}),
        project=settings.project,
        region=settings.region,
        labels={**options.labels, "experiment": experiment.name},
    )
    values = {"pipeline_sha256": digest, "vertex": vertex.model_dump_json(), "checkpoints": OWN_BUCKET, **parameters}
    check_parameters(spec, values)
    return {
        "display_name": experiment.name,
        "pipeline_spec": spec,
        "labels": labels,
        "service_account": options.service_account or "",
        **vertex.job_network(),
        **vertex.encryption(),
        "runtime_config": {
            "gcs_output_directory": settings.root,
            "parameter_values": values,
            "failure_policy": "PIPELINE_FAILURE_POLICY_FAIL_FAST" if fail_fast else "PIPELINE_FAILURE_POLICY_FAIL_SLOW",
        },
    }


def check_parameters(spec: dict[str, Any], values: dict[str, Any]) -> None:
    """Hold parameters against a compiled pipeline's: the service accepts a missing or mistyped one.

    Raises:
        InputError: An unknown name, a missing value or one of a wrong type.
    """
    wanted = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in values.items():
        if name not in wanted:
            raise InputError(f"parameter {name}: the pipeline has none of this name; there are: {', '.join(wanted)}")
        kind = wanted[name]["parameterType"]
        wrong_bool = isinstance(value, bool) and kind != "BOOLEAN"
        if wrong_bool or not isinstance(value, _TYPES[kind]):
            raise InputError(f"parameter {name}: {value!r}, expected {kind}")
    for name, definition in wanted.items():
        if name not in values and "defaultValue" not in definition and not definition.get("isOptional"):
            raise InputError(f"parameter {name}: missing, expected {definition['parameterType']}")


def check_data(experiment: Experiment, readable: tuple[str, ...] = ("gs://", "/gcs/")) -> None:
    """Refuse data that the tasks couldn't see.

    Args:
        experiment: The experiment.
        readable: How the paths begin that they can see.

    Raises:
        InputError: A file or folder is on this machine alone.
    """
    for name, config in experiment.datasets.items():
        path = getattr(config.options, "path", None)
        if path is not None and not path.startswith(readable):
            raise InputError(f"datasets.{name}: path: '{path}' is on this machine; copy it to a bucket and say gs://…")


def check_labels(labels: dict[str, str]) -> None:
    """Hold labels against Google's rules.

    Raises:
        InputError: A key or a value breaks them.
    """
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise InputError(f"vertex.labels: key '{key}', expected up to 63 small letters, digits, - and _")
        if not _LABEL_VALUE.fullmatch(value):
            raise InputError(f"vertex.labels.{key}: '{value}', expected up to 63 small letters, digits, - and _")


def check_images(spec: dict[str, Any], moving_tags: bool = False) -> None:
    """Hold the images of a compiled pipeline against what a cluster can pull.

    Raises:
        InputError: An image has no registry, or no digest.
    """
    variables = {GPU_IMAGE: "IMAGE_GPU", TPU_IMAGE: "IMAGE_TPU", IMAGE: "IMAGE"}
    for image in images(spec):
        _check_image(image, variables.get(image, "IMAGE"), moving_tags)


def check_serving(experiment: Experiment, moving_tags: bool = False) -> None:
    """Hold against each other what models are exported to and what serves them, where they are registered.

    Raises:
        InputError: The serving image can't be pulled, or there will be nothing that it could serve.
    """
    if not experiment.vertex.register_models:
        return
    _check_image(experiment.vertex.serving_image, "IMAGE_SERVING", moving_tags)
    if "onnx" not in experiment.formats:
        raise InputError(
            "formats: onnx is missing, which the serving image needs; add it, or set vertex.register_models: false"
        )


def _check_image(image: str, variable: str, moving_tags: bool) -> None:
    if "/" not in image:
        raise InputError(f"image {image}: names no registry; compile with {variable}=REGISTRY/…@sha256:…")
    if not moving_tags and not _DIGEST.fullmatch(image):
        raise InputError(
            f"image {image}: a tag can move; compile with {variable}=…@sha256:… (or --allow-tags for a trial)"
        )


def check_options(options: VertexOptions, settings: Settings) -> None:
    """Refuse options that don't go together.

    Raises:
        InputError: With all such pairs.
    """
    problems = []
    if options.network and options.deploy:
        problems.append(
            "vertex.network with vertex.deploy: an endpoint in a network has one model and no traffic split; "
            "leave network out, or set deploy: false and deploy the registered model by hand"
        )
    if options.network and options.network_attachment:
        problems.append("vertex.network with vertex.network_attachment: a job is in a network by one of them")
    if options.reserved_ip_ranges and not options.network:
        problems.append("vertex.reserved_ip_ranges: ranges of a network, expected vertex.network too")
    if options.kms_key and f"/locations/{settings.region}/" not in options.kms_key:
        problems.append(f"vertex.kms_key: '{options.kms_key}', expected a key in {settings.region}, where the jobs run")
    if problems:
        raise InputError(*problems)


def check_artifacts(spec: dict[str, Any]) -> None:
    """Hold the artifacts that each task takes against Vertex AI's limit; it would fail in the last steps of a run.

    Raises:
        InputError: A task takes more.
    """
    for name, task in spec["root"]["dag"]["tasks"].items():
        count = len(task.get("inputs", {}).get("artifacts", {}))
        if count > MAX_ARTIFACTS:
            raise InputError(
                f"task {name}: {count} input artifacts, Vertex AI allows {MAX_ARTIFACTS}; share the models out among "
                "several experiments"
            )


def job_images(job: dict[str, Any]) -> list[str]:
    """The images that a PipelineJob needs: its tasks' and its jobs', and the one that will serve models."""
    vertex = Vertex.model_validate_json(job["runtime_config"]["parameter_values"]["vertex"])
    return [*images(job["pipeline_spec"]), *([vertex.serving_image] if vertex.register_models else [])]


def images(spec: dict[str, Any]) -> list[str]:
    """The images of a compiled pipeline, those of its CustomJobs among them, each once."""
    found = [e["container"]["image"] for e in spec["deploymentSpec"]["executors"].values() if "container" in e]
    for task in spec["root"]["dag"]["tasks"].values():
        value = task["inputs"]["parameters"].get("placement", {}).get("runtimeValue", {}).get("constant")
        if value and (image := json.loads(value).get("image")):
            found.append(image)
    return sorted(set(found))
