"""Submit a pipeline job to Vertex AI, exactly once, even where answers get lost."""

import time

from google.api_core import exceptions
from google.cloud.aiplatform_v1 import PipelineJob, PipelineServiceClient
from google.protobuf.json_format import ParseDict

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client
from components.vertex.errors import error_line
from pipeline.vertex.request import JOB_ID, SUBMISSION, Request
from pipeline.vertex.settings import Settings

TRIES = 5
FIRST_PAUSE_SECONDS = 0.5


def submit_job(job: Request, job_id: str, settings: Settings) -> PipelineJob:
    """Create a pipeline job.

    Where an answer gets lost, it isn't known whether the job was created. So each try uses the same id. If the service
    says that the job exists, the job's label tells whether this submission created it.

    Returns:
        The job as the service has stored it.

    Raises:
        InputError: The job is refused.
    """
    if not JOB_ID.fullmatch(job_id):
        raise InputError(f"job id: '{job_id}', expected a small letter, then up to 127 small letters, digits and -")
    pipelines = client(PipelineServiceClient, settings.region)
    action = f"submitting {job_id} to {settings.project} in {settings.region}"
    request = {"parent": settings.parent, "pipeline_job": message(job), "pipeline_job_id": job_id}
    for attempt in range(TRIES):
        try:
            return pipelines.create_pipeline_job(request=request, timeout=CALL_SECONDS, retry=None)
        except exceptions.AlreadyExists:
            if own := _own_job(pipelines, job, job_id, settings):
                return own
            raise InputError(f"job id {job_id}: taken by another job; choose another with --job-id") from None
        except (exceptions.ServerError, exceptions.RetryError) as error:
            if attempt < TRIES - 1:
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
            elif own := _own_job(pipelines, job, job_id, settings):
                return own
            else:
                raise InputError(f"{error_line(error, action)}; tried {TRIES} times") from None
        except Exception as error:
            raise InputError(error_line(error, action)) from None
    raise AssertionError("unreachable")


def _own_job(pipelines: PipelineServiceClient, job: Request, job_id: str, settings: Settings) -> PipelineJob | None:
    """The job of this id, if this submission created it."""
    try:
        stored = pipelines.get_pipeline_job(name=f"{settings.parent}/pipelineJobs/{job_id}", timeout=CALL_SECONDS)
    except exceptions.GoogleAPICallError:
        return None
    return stored if stored.labels.get(SUBMISSION) == job["labels"][SUBMISSION] else None


def message(job: Request) -> PipelineJob:
    """The job as a message of the protocol."""
    result = PipelineJob()
    ParseDict(job, PipelineJob.pb(result))
    return result


def job_url(name: str, settings: Settings) -> str:
    """The address of a pipeline job's page in Google's console."""
    return (
        f"https://console.cloud.google.com/vertex-ai/pipelines/locations/{settings.region}/runs/"
        f"{name.rsplit('/', 1)[-1]}?project={settings.project}"
    )
