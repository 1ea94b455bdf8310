"""The request that submits a compiled pipeline. It is checked before anything is sent."""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.image_names import GPU_IMAGE, IMAGE, TPU_IMAGE
from components.vertex.checkpoints import OWN_BUCKET
from components.vertex.client import Vertex, VertexOptions
from pipeline.experiment.experiment import Experiment
from pipeline.graph.compile import read_compiled
from pipeline.vertex.settings import Settings

JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
# cloud.google.com/resource-manager/docs/labels-overview
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
SUBMISSION = "submission"
# The most input artifacts of a task. For more, Vertex AI answers "Maximum allowed: 100" (kubeflow/kubeflow issue 7513).
# Kubeflow 2.17 describes them in one argument of a process, for which Linux has 128 KB; each takes about 0.65 KB.
MAX_ARTIFACTS = {"Vertex AI": 100, "Kubeflow": 170}
# The fields of a PipelineJob, in the protocol's JSON.
Request = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}


def new_job_id(experiment: str) -> str:
    """A new id for a job: the experiment, the time and four random digits."""
    name = experiment.replace("_", "-")
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def pipeline_job(
    experiment: Experiment,
    path: Path,
    digest: str,
    settings: Settings,
    parameters: Mapping[str, object],
    *,
    fail_fast: bool = False,
    moving_tags: bool = False,
) -> Request:
    """Create the request of a PipelineJob.

    Args:
        experiment: The experiment.
        path: The compiled file.
        digest: The file's SHA-256.
        settings: The project, region and bucket of the job.
        parameters: The values of parameters of the compiled file, beside those that are set here.
        fail_fast: Whether the job stops at the first failed task. Otherwise tasks that don't need it go on.
        moving_tags: Whether images may be named by a tag.

    Returns:
        The fields of the PipelineJob: display_name, pipeline_spec, runtime_config, labels, service_account, and those
        of its network and encryption.

    Raises:
        InputError: The service would refuse the job, or the job would fail later.
    """
    spec = read_compiled(path)
    options = experiment.vertex
    own_labels = {**options.labels, "experiment": experiment.name}
    labels = {**own_labels, "pipeline": digest[:16], SUBMISSION: secrets.token_hex(8)}
    check_data(experiment)
    check_labels(labels)
    check_images(spec, moving_tags)
    check_artifacts(spec, "Vertex AI")
    check_options(options, settings)
    check_serving(experiment, moving_tags)
    vertex = Vertex(
        **options.model_dump(exclude={"labels"}),
        project=settings.project,
        region=settings.region,
        labels=own_labels,
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


def check_parameters(spec: dict[str, Any], values: Mapping[str, object]) -> None:
    """Compare parameters with those of a compiled pipeline. The service would accept missing and mistyped ones.

    Raises:
        InputError: A name is unknown, a value is missing, or a value has a wrong type.
    """
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in values.items():
        if name not in definitions:
            names = ", ".join(definitions)
            raise InputError(f"parameter {name}: the pipeline has none of this name; there are: {names}")
        expected = definitions[name]["parameterType"]
        # In Python, a bool is an int.
        wrong_bool = isinstance(value, bool) and expected != "BOOLEAN"
        if wrong_bool or not isinstance(value, _TYPES[expected]):
            raise InputError(f"parameter {name}: {value!r}, expected {expected}")
    for name, definition in definitions.items():
        if name not in values and "defaultValue" not in definition and not definition.get("isOptional"):
            raise InputError(f"parameter {name}: missing, expected {definition['parameterType']}")


def check_data(experiment: Experiment, readable: tuple[str, ...] = ("gs://", "/gcs/")) -> None:
    """Refuse data whose path doesn't begin with one of the prefixes that the tasks can read.

    Raises:
        InputError: A file or folder is on this machine only.
    """
    paths = {f"datasets.{name}: path": getattr(c.options, "path", None) for name, c in experiment.datasets.items()}
    for name, spec in experiment.models.items():
        paths[f"models.{name}: hyperparameters: preset"] = spec.hyperparameters.get("preset")
    for key, path in paths.items():
        if path is not None and not str(path).startswith(readable):
            raise InputError(f"{key}: '{path}' is on this machine; copy it to a bucket and say gs://…")


def check_labels(labels: dict[str, str]) -> None:
    """Check that labels follow Google's rules.

    Raises:
        InputError: A key or a value doesn't.
    """
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise InputError(f"vertex.labels: key '{key}', expected up to 63 small letters, digits, - and _")
        if not _LABEL_VALUE.fullmatch(value):
            raise InputError(f"vertex.labels.{key}: '{value}', expected up to 63 small letters, digits, - and _")


def check_images(spec: dict[str, Any], moving_tags: bool = False) -> None:
    """Check that a cluster can pull the images of a compiled pipeline.

    Raises:
        InputError: An image has no registry, or no digest.
    """
    variables = {GPU_IMAGE: "IMAGE_GPU", TPU_IMAGE: "IMAGE_TPU", IMAGE: "IMAGE"}
    for image in images(spec):
        _check_image(image, variables.get(image, "IMAGE"), moving_tags)


def check_serving(experiment: Experiment, moving_tags: bool = False) -> None:
    """Check that registered models can be served.

    Raises:
        InputError: The serving image can't be pulled, or models aren't exported to the format that it needs.
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
    """Refuse options that contradict each other.

    Raises:
        InputError: Some options do. All such pairs are named.
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


def check_artifacts(spec: dict[str, Any], where: str) -> None:
    """Check the number of input artifacts of each task. Too many would fail only in the last steps of a run.

    Raises:
        InputError: A task has too many.
    """
    for name, task in spec["root"]["dag"]["tasks"].items():
        count, most = len(task.get("inputs", {}).get("artifacts", {})), MAX_ARTIFACTS[where]
        if count > most:
            raise InputError(
                f"task {name}: {count} input artifacts, {where} takes {most}; share the models out among "
                "several experiments"
            )


def job_images(job: Request) -> list[str]:
    """The images of a PipelineJob: those of its tasks and CustomJobs, and the one that serves models."""
    vertex = Vertex.model_validate_json(job["runtime_config"]["parameter_values"]["vertex"])
    return [*images(job["pipeline_spec"]), *([vertex.serving_image] if vertex.register_models else [])]


def images(spec: dict[str, Any]) -> list[str]:
    """The images of a compiled pipeline and of its CustomJobs, without repetition."""
    names = {e["container"]["image"] for e in spec["deploymentSpec"]["executors"].values() if "container" in e}
    for task in spec["root"]["dag"]["tasks"].values():
        value = task["inputs"]["parameters"].get("placement", {}).get("runtimeValue", {}).get("constant")
        if value and (image := json.loads(value).get("image")):
            names.add(image)
    return sorted(names)
