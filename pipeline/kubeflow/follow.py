"""Follow a run on Kubeflow, in the display of a local run."""

import signal

from kfp_server_api import ApiClient, ApiException, RunServiceApi
from rich.console import Console
from urllib3.exceptions import HTTPError

from components.common.errors import InputError
from components.vertex.client import LOST_SECONDS, signal_event
from pipeline.kubeflow.errors import error_line
from pipeline.terminal.display import Display
from pipeline.vertex.follow import POLL_SECONDS, JobFailedError, show_task

# A cancelled run ends as FAILED in version 2.17.0.
ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
# The states of a run's tasks may come so many questions after its own last state.
_LATE_POLLS = 6
# Before each task, Kubeflow runs another one, which decides whether the task runs.
_DRIVER = "-driver"


def follow(
    client: ApiClient,
    run_id: str,
    tasks: list[str],
    console: Console,
    fail_fast: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Show the tasks of a run until it has ended. With `fail_fast` it is ended at the first failed task.

    Raises:
        JobFailedError: The run failed or was cancelled.
        InputError: The run can't be read any more.
        KeyboardInterrupt: Ctrl-C was pressed. The run goes on.
    """
    runs = RunServiceApi(client)
    shown: dict[str, str] = {}
    lost_seconds, late_polls = 0.0, 0
    with signal_event(signal.SIGINT) as interrupted, Display(tasks, console) as display:
        while True:
            try:
                run = runs.run_service_get_run(run_id)
                if fail_fast and run.state == "RUNNING" and "FAILED" in shown.values():
                    runs.run_service_terminate_run(run_id)
                lost_seconds = 0.0
            except (ApiException, HTTPError, OSError, InputError) as error:
                lost_seconds += poll_seconds
                refused = isinstance(error, ApiException) and error.status < 500
                if refused or lost_seconds > LOST_SECONDS:
                    raise InputError(f"{error_line(error, run_id)}; the run goes on") from None
            else:
                told = (run.run_details and run.run_details.task_details) or []
                for task in told:
                    if not task.state:  # Kubeflow left it out, after a failed task
                        continue
                    failed = task.state == "FAILED"
                    name = task.display_name.removesuffix(_DRIVER) if failed else task.display_name
                    ended = failed or task.state == "SUCCEEDED"
                    seconds = (task.end_time - task.start_time).total_seconds() if ended else None
                    show_task(display, name, task.state, "", seconds, shown)
                late = any(task.state in ("PENDING", "RUNNING") for task in told) and late_polls < _LATE_POLLS
                if run.state in ENDED and not late:
                    display.skip_waiting()
                    break
                late_polls += run.state in ENDED
            if interrupted.wait(poll_seconds):
                raise KeyboardInterrupt
    if run.state != "SUCCEEDED":
        failed_tasks = ", ".join(name for name, state in shown.items() if state == "FAILED")
        reason = failed_tasks or (run.error and run.error.message) or "no reason"
        raise JobFailedError(f"{run.display_name} {run.state.lower()}: {reason}")
