"""Predict for files in Cloud Storage with a registered model."""

import re
import time
from typing import Any

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client, error_line, list_by_name, poll
from pipeline.vertex.settings import Settings

POLL_SECONDS = 10.0
# Instances of a request to the server, whose limit is 16 MB: an image of 224 x 224 x 3 takes 0.6 MB as numbers.
BATCH = 16
_ADDRESS = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/\S*)?")


def batch_predict(
    model: str, source: str, target: str, machine: str, settings: Settings, labels: dict[str, str]
) -> Any:  # noqa: ANN401 (a BatchPredictionJob)
    """Start a batch prediction of JSON Lines, each an instance as the server takes it.

    Vertex AI would make a flat list of a row of CSV, and Base64 of a TFRecord: neither is an instance.

    Args:
        model: Display name of a registered model, `<experiment>-<data set>`, or its number; @version may follow.
        source: Files in Cloud Storage, gs://bucket/folder/*.jsonl, or a prefix that ends with / for its .jsonl files.
        target: gs:// prefix that predictions are written under.
        machine: Machine type.
        settings: Where it runs.
        labels: Of the job.

    Raises:
        InputError: An address or the model isn't right, or the service refuses it.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import JobServiceClient, types

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
        labels=labels,
    )
    try:
        return client(JobServiceClient, settings.region).create_batch_prediction_job(
            parent=settings.parent, batch_prediction_job=job, timeout=CALL_SECONDS
        )
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"starting a batch prediction of {model}")) from None


def find_model(model: str, settings: Settings) -> str:
    """Resource name of a registered model; @version stays what it is.

    Raises:
        InputError: There is none, or several of the name.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import ModelServiceClient

    name, at, version = model.partition("@")
    try:
        if name.isdigit():
            return f"{settings.parent}/models/{model}"
        models = client(ModelServiceClient, settings.region)
        found = [m.name.partition("@")[0] for m in list_by_name(models.list_models, settings.parent, name)]
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"looking for model {name}")) from None
    if len(found) != 1:
        raise InputError(
            f"model {name}: " + (f"several have this name: {', '.join(found)}" if found else "there is none registered")
        )
    return f"{found[0]}{at}{version}"


def wait_for_batch(job: Any, settings: Settings) -> Any:  # noqa: ANN401 (a BatchPredictionJob)
    """Wait for the end of a batch prediction.

    Raises:
        InputError: It failed or was cancelled, or can't be asked for any more.
    """
    from google.cloud.aiplatform_v1 import JobServiceClient

    get = client(JobServiceClient, settings.region).get_batch_prediction_job
    for job in poll(job, get, POLL_SECONDS, time.sleep):  # noqa: B020 (the newest is meant)
        if job.state.name.removeprefix("JOB_STATE_") in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"):
            break
    if job.state.name != "JOB_STATE_SUCCEEDED":
        raise InputError(f"{job.name}: {job.state.name.removeprefix('JOB_STATE_').lower()}: {job.error.message}")
    return job
