"""Send a pipeline to Vertex AI, once, whatever happens on the way."""

import time
from typing import Any

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client, error_line
from pipeline.vertex.request import JOB_ID, SUBMISSION
from pipeline.vertex.settings import Settings

TRIES = 5
FIRST_PAUSE_SECONDS = 0.5


def submit(job: dict[str, Any], job_id: str, settings: Settings) -> Any:  # noqa: ANN401 (a PipelineJob)
    """Create a pipeline job.

    An answer that got lost leaves it open whether the job was made, so every try has the same id: a job that is
    there already is a success where it carries this submission's label, and another's where it doesn't.

    Args:
        job: What `pipeline_job` made.
        job_id: The job's id.
        settings: Where it runs.

    Returns:
        The job as the service has it.

    Raises:
        InputError: It is refused.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    if not JOB_ID.fullmatch(job_id):
        raise InputError(f"job id: '{job_id}', expected a small letter, then up to 127 small letters, digits and -")
    pipelines = client(PipelineServiceClient, settings.region)
    what = f"submitting {job_id} to {settings.project} in {settings.region}"
    request = {"parent": settings.parent, "pipeline_job": message(job), "pipeline_job_id": job_id}
    for attempt in range(TRIES):
        try:
            return pipelines.create_pipeline_job(request=request, timeout=CALL_SECONDS, retry=None)
        except exceptions.AlreadyExists:
            if there := _ours(pipelines, job, job_id, settings):
                return there
            raise InputError(f"job id {job_id}: taken by another job; choose another with --job-id") from None
        except (exceptions.ServerError, exceptions.RetryError) as error:
            if attempt < TRIES - 1:
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
            elif there := _ours(pipelines, job, job_id, settings):
                return there
            else:
                raise InputError(f"{error_line(error, what)}; tried {TRIES} times") from None
        except Exception as error:
            raise InputError(error_line(error, what)) from None
    raise AssertionError("unreachable")


def _ours(pipelines: Any, job: dict[str, Any], job_id: str, settings: Settings) -> Any:  # noqa: ANN401
    """The job of this id, if this submission made it."""
    from google.api_core import exceptions

    try:
        there = pipelines.get_pipeline_job(name=f"{settings.parent}/pipelineJobs/{job_id}", timeout=CALL_SECONDS)
    except exceptions.GoogleAPICallError:
        return None
    return there if there.labels.get(SUBMISSION) == job["labels"][SUBMISSION] else None


def message(job: dict[str, Any]) -> Any:  # noqa: ANN401 (a PipelineJob)
    """The protocol's message of a job."""
    from google.cloud.aiplatform_v1 import types
    from google.protobuf.json_format import ParseDict

    made = types.PipelineJob()
    ParseDict(job, types.PipelineJob.pb(made))
    return made


def job_url(name: str, settings: Settings) -> str:
    """Address of a pipeline job's page in Google's console."""
    return (
        f"https://console.cloud.google.com/vertex-ai/pipelines/locations/{settings.region}/runs/"
        f"{name.rsplit('/', 1)[-1]}?project={settings.project}"
    )
