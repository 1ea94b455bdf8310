"""Ask for jobs on Vertex AI: one, all, their logs; and cancel them."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client, credentials, error_line
from components.vertex.custom_job import RUN_LABEL, run_label
from pipeline.vertex.settings import Settings

_LOGGING = "https://logging.googleapis.com"
_PAGE = 1000


def get_job(job_id: str, settings: Settings) -> Any:  # noqa: ANN401 (a PipelineJob)
    """A pipeline job.

    Raises:
        InputError: There is none of this id, or it can't be seen.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    name = f"{settings.parent}/pipelineJobs/{job_id}"
    try:
        return client(PipelineServiceClient, settings.region).get_pipeline_job(name=name, timeout=CALL_SECONDS)
    except exceptions.NotFound:
        raise InputError(f"job {job_id}: there is none in {settings.project}, {settings.region}") from None
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"asking for job {job_id}")) from None


def list_jobs(settings: Settings, experiment: str | None, limit: int) -> list[Any]:
    """The newest pipeline jobs of this project's, or of one experiment's.

    Raises:
        InputError: They can't be seen.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    request: dict[str, Any] = {"parent": settings.parent, "order_by": "create_time desc", "page_size": min(limit, 100)}
    request["filter"] = f"labels.experiment={experiment}" if experiment else "labels.submission:*"
    request["read_mask"] = {"paths": ["name", "state", "display_name", "create_time", "end_time", "labels"]}
    found: list[Any] = []
    try:
        for job in client(PipelineServiceClient, settings.region).list_pipeline_jobs(
            request=request, timeout=CALL_SECONDS
        ):
            found.append(job)
            if len(found) == limit:
                break
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"listing jobs of {settings.project}")) from None
    return found


def cancel_job(job_id: str, settings: Settings) -> list[str]:
    """Cancel a pipeline job and the custom jobs that its tasks launched.

    A task cancels its job when it is told to end. One that was killed can't, so the jobs are looked for here, also
    where the pipeline job itself has ended.

    Returns:
        The display names of the custom jobs.

    Raises:
        InputError: There is no such job, it has ended and left no custom job, or cancelling is refused.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import JobServiceClient, PipelineServiceClient

    job = get_job(job_id, settings)
    jobs = client(JobServiceClient, settings.region)
    ended: exceptions.GoogleAPICallError | None = None
    cancelled = []
    try:
        try:
            client(PipelineServiceClient, settings.region).cancel_pipeline_job(name=job.name, timeout=CALL_SECONDS)
        except exceptions.FailedPrecondition as error:
            ended = error
        for launched in _launched(jobs, job_id, settings, ("QUEUED", "PENDING", "RUNNING")):
            jobs.cancel_custom_job(name=launched.name, timeout=CALL_SECONDS)
            cancelled.append(launched.display_name)
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"cancelling {job_id}")) from None
    if ended and not cancelled:
        raise InputError(error_line(ended, f"cancelling {job_id}"))
    return cancelled


def _launched(jobs: Any, job_id: str, settings: Settings, states: tuple[str, ...] = ()) -> Iterable[Any]:  # noqa: ANN401 (a client)
    """The custom jobs that a pipeline job launched, those in some states or all."""
    terms = [f'labels.{RUN_LABEL}="{run_label(job_id)}"']
    if states:
        any_of_them = " OR ".join(f'state="JOB_STATE_{state}"' for state in states)
        terms.append(f"({any_of_them})")
    request = {"parent": settings.parent, "filter": " AND ".join(terms)}
    return jobs.list_custom_jobs(request=request, timeout=CALL_SECONDS)


def log_lines(job: Any, settings: Settings, task: str | None) -> Iterator[str]:  # noqa: ANN401 (a PipelineJob)
    """What the tasks of a pipeline job printed, from Cloud Logging.

    Each task of a pipeline runs in a custom job of its own, whose number is the log's `job_id`. A training that is a
    job beside it has a log of its own, which is printed with the task's.

    Raises:
        InputError: No task of this name has run, or the logs can't be read.
    """
    from google.api_core import exceptions
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud.aiplatform_v1 import JobServiceClient

    job_id = job.name.rsplit("/", 1)[-1]
    numbers = {}
    for detail in job.job_detail.task_details:
        if task is None or detail.task_name == task:
            main = detail.executor_detail.container_detail.main_job or detail.executor_detail.custom_job_detail.job
            if main:
                numbers[main.rsplit("/", 1)[-1]] = detail.task_name
    try:
        for launched in _launched(client(JobServiceClient, settings.region), job_id, settings):
            name = launched.display_name.removeprefix(f"{job_id}-")
            if task is None or name == task or name.startswith(f"{task}-trial-"):
                numbers[launched.name.rsplit("/", 1)[-1]] = f"{name} (job)"
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"asking for the jobs of {job_id}")) from None
    if not numbers:
        raise InputError(f"{job_id}: no task {task or ''} has run yet".replace("  ", " "))
    base = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", _LOGGING).rstrip("/")
    ids = " OR ".join(f'"{number}"' for number in numbers)
    body: dict[str, Any] = {
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
