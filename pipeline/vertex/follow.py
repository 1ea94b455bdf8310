"""Follow a pipeline job on Vertex AI with the display of a local run."""

import signal
from typing import Any

from rich.console import Console

from components.vertex.client import client, poll, signal_event
from pipeline.terminal.display import Display, State
from pipeline.vertex.settings import Settings

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
    # Kubeflow's.
    "CANCELED": "skipped",
    "CANCELING": "running",
}


class JobFailedError(Exception):
    """A pipeline job failed or was cancelled; the message says which task and why."""


def follow(job: Any, settings: Settings, console: Console, poll_seconds: float = POLL_SECONDS) -> Any:  # noqa: ANN401
    """Show the tasks of a job until it has ended.

    Args:
        job: A PipelineJob.
        settings: Where it runs.
        console: Where to show them.
        poll_seconds: Between two questions.

    Returns:
        The job in its last state.

    Raises:
        JobFailedError: It failed or was cancelled.
        InputError: It can't be asked for any more.
        KeyboardInterrupt: Ctrl-C; the job goes on.
    """
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    pipelines = client(PipelineServiceClient, settings.region)
    with signal_event(signal.SIGINT) as interrupted, Display(task_names(job), console) as display:

        def wait(seconds: float) -> None:
            if interrupted.wait(seconds):
                raise KeyboardInterrupt

        seen: dict[str, str] = {}
        for job in poll(job, pipelines.get_pipeline_job, poll_seconds, wait):  # noqa: B020 (the newest is meant)
            for task in job.job_detail.task_details:
                ended = task.start_time and task.end_time
                took = (task.end_time - task.start_time).total_seconds() if ended else None
                show_task(display, task.task_name, task.state.name, task.error.message, took, seen)
            if state(job) in ENDED:
                display.skip_waiting()
                break
    if state(job) != "SUCCEEDED":
        raise JobFailedError(why(job))
    return job


def state(job: Any) -> str:  # noqa: ANN401 (a PipelineJob)
    """A job's state without the enumeration's prefix, such as RUNNING."""
    return str(job.state.name).removeprefix("PIPELINE_STATE_")


def task_names(job: Any) -> list[str]:  # noqa: ANN401 (a PipelineJob)
    """The tasks of a job, in the order of its file."""
    return list(dict(job.pipeline_spec)["root"]["dag"]["tasks"])


def why(job: Any) -> str:  # noqa: ANN401 (a PipelineJob)
    """One line: which tasks of a job failed, and their errors."""
    failed = [t for t in job.job_detail.task_details if t.state.name == "FAILED" and t.task_name in task_names(job)]
    said = [f"{task.task_name}: {' '.join(task.error.message.split())}" for task in failed]
    return f"{job.name.rsplit('/', 1)[-1]} {state(job).lower()}: " + (
        "; ".join(said) or job.error.message or "no reason"
    )


def show_task(display: Display, name: str, now: str, said: str, seconds: float | None, seen: dict[str, str]) -> None:
    """Show a task of a cluster where its state is another than it was.

    Args:
        display: The display; a task that it doesn't have isn't shown.
        name: The task's name.
        now: Its state, as Vertex AI or Kubeflow calls it.
        said: Its error.
        seconds: How long it took; None where it runs.
        seen: For each task the state that was shown last.
    """
    if name not in display.lines or seen.get(name) == now:
        return
    seen[name] = now
    shown = _STATES.get(now, "waiting")
    if shown == "running":
        display.start(name, "")
    elif shown != "waiting":
        display.end(name, shown, " ".join(said.split()))
        if seconds is not None:
            display.lines[name].seconds = seconds
