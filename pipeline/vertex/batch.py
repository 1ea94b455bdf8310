"""Batch predictions of files in Cloud Storage with a registered model."""

import re
import time

from google.cloud.aiplatform_v1 import BatchPredictionJob, JobServiceClient, ModelServiceClient, types

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client, list_by_name, poll
from components.vertex.errors import asking
from pipeline.vertex.settings import Settings

POLL_SECONDS = 10.0
# The instances of a request to the server, whose limit is 16 MB. An image of 224 x 224 x 3 takes 0.6 MB as numbers.
BATCH = 16
_ADDRESS = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/\S*)?")


def batch_predict(model: str, source: str, target: str, machine: str, settings: Settings) -> BatchPredictionJob:
    """Start a batch prediction of JSON Lines. Each line is an instance of a request to the server.

    The server couldn't read other formats, for Vertex AI turns a row of CSV into a flat list, and a TFRecord into
    Base64.

    Args:
        model: The display name of a registered model, `<experiment>-<data set>`, or its number; @version may follow.
        source: The files, gs://bucket/folder/*.jsonl, or a prefix that ends with / for its .jsonl files.
        target: The gs:// prefix of the predictions.
        machine: The machine type.
        settings: The project and region of the job.

    Raises:
        InputError: An address is malformed, there is no such model, or the service refuses the job.
    """
    if source.endswith("/"):
        source += "*.jsonl"
    for name, address in (("--input", source), ("--output", target)):
        if not _ADDRESS.fullmatch(address):
            raise InputError(f"{name}: '{address}', expected gs://bucket/…")
    if not source.endswith(".jsonl"):
        raise InputError(f"--input: '{source}', expected files that end with .jsonl, or a prefix with /")
    job = types.BatchPredictionJob(
        display_name=f"{model}-batch"[:128],
        model=find_model(model, settings),
        input_config={"instances_format": "jsonl", "gcs_source": {"uris": [source]}},
        output_config={"predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": target}},
        dedicated_resources=types.BatchDedicatedResources(
            machine_spec=types.MachineSpec(machine_type=machine), starting_replica_count=1, max_replica_count=1
        ),
        manual_batch_tuning_parameters={"batch_size": BATCH},
    )
    with asking(f"starting a batch prediction of {model}"):
        return client(JobServiceClient, settings.region).create_batch_prediction_job(
            parent=settings.parent, batch_prediction_job=job, timeout=CALL_SECONDS
        )


def find_model(model: str, settings: Settings) -> str:
    """The resource name of a registered model, with the @version where the name has one.

    Raises:
        InputError: No model or several have the name.
    """
    name, at, version = model.partition("@")
    if name.isdigit():
        return f"{settings.parent}/models/{model}"
    with asking(f"looking for model {name}"):
        models = client(ModelServiceClient, settings.region)
        resources = [m.name.partition("@")[0] for m in list_by_name(models.list_models, settings.parent, name)]
    if len(resources) != 1:
        reason = f"several have this name: {', '.join(resources)}" if resources else "there is none registered"
        raise InputError(f"model {name}: {reason}")
    return f"{resources[0]}{at}{version}"


def wait_for_batch(job: BatchPredictionJob, settings: Settings) -> BatchPredictionJob:
    """Wait for the end of a batch prediction.

    Raises:
        InputError: It failed or was cancelled, or it can't be read any more.
    """
    get = client(JobServiceClient, settings.region).get_batch_prediction_job
    for job in poll(job, get, POLL_SECONDS, time.sleep):  # noqa: B020 (the newest state is meant)
        if job.state.name.removeprefix("JOB_STATE_") in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"):
            break
    if job.state.name != "JOB_STATE_SUCCEEDED":
        raise InputError(f"{job.name}: {job.state.name.removeprefix('JOB_STATE_').lower()}: {job.error.message}")
    return job
