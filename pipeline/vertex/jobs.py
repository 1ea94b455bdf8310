"""Get, list and cancel jobs on Vertex AI, and read their logs."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice

from google.api_core import exceptions
from google.auth.transport.requests import AuthorizedSession
from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient, PipelineJob, PipelineServiceClient

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client, credentials
from components.vertex.custom_job import RUN_LABEL, run_label
from components.vertex.errors import asking, error_line
from pipeline.vertex.settings import Settings

_LOGGING = "https://logging.googleapis.com"
_PAGE = 1000


def get_job(job_id: str, settings: Settings) -> PipelineJob:
    """Get a pipeline job.

    Raises:
        InputError: There is no job with this id, or it can't be read.
    """
    name = f"{settings.parent}/pipelineJobs/{job_id}"
    try:
        return client(PipelineServiceClient, settings.region).get_pipeline_job(name=name, timeout=CALL_SECONDS)
    except exceptions.NotFound:
        raise InputError(f"job {job_id}: there is none in {settings.project}, {settings.region}") from None
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"asking for job {job_id}")) from None


def list_jobs(settings: Settings, experiment: str | None, limit: int) -> list[PipelineJob]:
    """List the newest pipeline jobs that `submit_job` created, or those of one experiment.

    Raises:
        InputError: They can't be read.
    """
    request = {
        "parent": settings.parent,
        "order_by": "create_time desc",
        "page_size": min(limit, 100),
        "filter": f"labels.experiment={experiment}" if experiment else "labels.submission:*",
        "read_mask": {"paths": ["name", "state", "display_name", "create_time", "end_time", "labels"]},
    }
    pipelines = client(PipelineServiceClient, settings.region)
    with asking(f"listing jobs of {settings.project}"):
        return list(islice(pipelines.list_pipeline_jobs(request=request, timeout=CALL_SECONDS), limit))


def cancel_job(job_id: str, settings: Settings) -> list[str]:
    """Cancel a pipeline job and the custom jobs that its tasks launched.

    A task cancels its job when it gets SIGTERM, but a killed task can't. So running custom jobs are cancelled here,
    even where the pipeline job has ended.

    Returns:
        The display names of the custom jobs.

    Raises:
        InputError: There is no such job, it has ended and has no running custom job, or cancelling is refused.
    """
    job = get_job(job_id, settings)
    jobs = client(JobServiceClient, settings.region)
    ended: exceptions.GoogleAPICallError | None = None
    cancelled = []
    with asking(f"cancelling {job_id}"):
        try:
            client(PipelineServiceClient, settings.region).cancel_pipeline_job(name=job.name, timeout=CALL_SECONDS)
        except exceptions.FailedPrecondition as error:
            ended = error
        for launched in _launched(jobs, job_id, settings, ("QUEUED", "PENDING", "RUNNING")):
            jobs.cancel_custom_job(name=launched.name, timeout=CALL_SECONDS)
            cancelled.append(launched.display_name)
    if ended and not cancelled:
        raise InputError(error_line(ended, f"cancelling {job_id}"))
    return cancelled


def _launched(
    jobs: JobServiceClient, job_id: str, settings: Settings, states: tuple[str, ...] = ()
) -> Iterable[CustomJob]:
    """The custom jobs that a pipeline job launched, in any of some states or in all states."""
    terms = [f'labels.{RUN_LABEL}="{run_label(job_id)}"']
    if states:
        terms.append("(" + " OR ".join(f'state="JOB_STATE_{state}"' for state in states) + ")")
    request = {"parent": settings.parent, "filter": " AND ".join(terms)}
    return jobs.list_custom_jobs(request=request, timeout=CALL_SECONDS)


def log_lines(job: PipelineJob, settings: Settings, task: str | None) -> Iterator[str]:
    """Yield the lines that the tasks of a pipeline job printed, from Cloud Logging.

    Each task runs in a custom job of its own, whose number is the log's `job_id`. A custom job that the task launched
    has another log, whose lines are among the task's.

    Raises:
        InputError: No task of this name has run, or the logs can't be read.
    """
    job_id = job.name.rsplit("/", 1)[-1]
    numbers = {}
    for detail in job.job_detail.task_details:
        if task is None or detail.task_name == task:
            name = detail.executor_detail.container_detail.main_job or detail.executor_detail.custom_job_detail.job
            if name:
                numbers[name.rsplit("/", 1)[-1]] = detail.task_name
    with asking(f"asking for the jobs of {job_id}"):
        for launched in _launched(client(JobServiceClient, settings.region), job_id, settings):
            name = launched.display_name.removeprefix(f"{job_id}-")
            if task is None or name == task or name.startswith(f"{task}-trial-"):
                numbers[launched.name.rsplit("/", 1)[-1]] = f"{name} (job)"
    if not numbers:
        raise InputError(f"{job_id}: no task {task or ''} has run yet".replace("  ", " "))
    base = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", _LOGGING).rstrip("/")
    ids = " OR ".join(f'"{number}"' for number in numbers)
    body: dict[str, object] = {
        "resourceNames": [f"projects/{settings.project}"],
        "filter": f'resource.type="ml_job" AND resource.labels.job_id=({ids})',
        "orderBy": "timestamp asc",
        "pageSize": _PAGE,
    }
    session = AuthorizedSession(credentials())
    while True:
        answer = session.post(f"{base}/v2/entries:list", json=body, timeout=CALL_SECONDS)
        if not answer.ok:
            raise InputError(f"the logs can't be read: {answer.status_code}; roles/logging.viewer can read them")
        page = answer.json()
        for entry in page.get("entries", []):
            text = entry.get("textPayload") or entry.get("jsonPayload", {}).get("message", "")
            name = numbers.get(entry.get("resource", {}).get("labels", {}).get("job_id", ""), "?")
            yield f"{entry.get('timestamp', '')[:19]}  {name}  {text.rstrip()}"
        if not page.get("nextPageToken"):
            return
        body["pageToken"] = page["nextPageToken"]
