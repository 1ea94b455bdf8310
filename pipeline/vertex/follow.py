"""Follow a pipeline job on Vertex AI, in the display of a local run."""

import signal
from typing import TYPE_CHECKING

from rich.console import Console

from components.vertex.client import client, poll, signal_event
from pipeline.terminal.display import Display, State
from pipeline.vertex.settings import Settings

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PipelineJob

POLL_SECONDS = 5.0
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_STATES: dict[str, State] = {
    "SUCCEEDED": "done",
    "SKIPPED": "cached",
    "FAILED": "failed",
    "CANCELLED": "skipped",
    "NOT_TRIGGERED": "skipped",
    "RUNNING": "running",
    "PENDING": "waiting",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    # Kubeflow spells these with one L.
    "CANCELED": "skipped",
    "CANCELING": "running",
}


class JobFailedError(Exception):
    """A pipeline job failed or was cancelled. The message names the tasks and the reasons."""


def follow(job: "PipelineJob", settings: Settings, console: Console) -> None:
    """Show the tasks of a job until it has ended.

    Raises:
        JobFailedError: The job failed or was cancelled.
        InputError: The job can't be read any more.
        KeyboardInterrupt: Ctrl-C was pressed. The job goes on.
    """
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    pipelines = client(PipelineServiceClient, settings.region)
    with signal_event(signal.SIGINT) as interrupted, Display(task_names(job), console) as display:

        def wait(seconds: float) -> None:
            if interrupted.wait(seconds):
                raise KeyboardInterrupt

        shown: dict[str, str] = {}
        for job in poll(job, pipelines.get_pipeline_job, POLL_SECONDS, wait):  # noqa: B020 (the newest state is meant)
            for task in job.job_detail.task_details:
                ended = task.start_time and task.end_time
                seconds = (task.end_time - task.start_time).total_seconds() if ended else None
                show_task(display, task.task_name, task.state.name, task.error.message, seconds, shown)
            if state(job) in ENDED:
                display.skip_waiting()
                break
    if state(job) != "SUCCEEDED":
        raise JobFailedError(_failure(job))


def state(job: "PipelineJob") -> str:
    """The state of a job without the enumeration's prefix, such as RUNNING."""
    return str(job.state.name).removeprefix("PIPELINE_STATE_")


def task_names(job: "PipelineJob") -> list[str]:
    """The names of a job's tasks, in the order of its file."""
    return list(dict(job.pipeline_spec)["root"]["dag"]["tasks"])


def _failure(job: "PipelineJob") -> str:
    """The line for a job that failed, with its failed tasks and their errors."""
    failed = [t for t in job.job_detail.task_details if t.state.name == "FAILED" and t.task_name in task_names(job)]
    errors = "; ".join(f"{task.task_name}: {' '.join(task.error.message.split())}" for task in failed)
    return f"{job.name.rsplit('/', 1)[-1]} {state(job).lower()}: {errors or job.error.message or 'no reason'}"


def show_task(
    display: Display, name: str, state: str, error: str, seconds: float | None, shown: dict[str, str]
) -> None:
    """Show a task of Vertex AI or Kubeflow where its state has changed, and it has a line in the display.

    `seconds` is its duration, None while it runs; `shown` has the state of each task that was shown last.
    """
    if name not in display.lines or shown.get(name) == state:
        return
    shown[name] = state
    line_state = _STATES.get(state, "waiting")
    if line_state == "running":
        display.start(name, "")
    elif line_state != "waiting":
        display.end(name, line_state, " ".join(error.split()))
        if seconds is not None:
            display.lines[name].seconds = seconds
