"""Follow a run on Kubeflow with the display of a local run."""

import signal
from typing import Any

from rich.console import Console

from components.common.errors import InputError
from components.vertex.client import LOST_SECONDS, signal_event
from pipeline.kubeflow.errors import say
from pipeline.terminal.display import Display
from pipeline.vertex.follow import POLL_SECONDS, JobFailedError, show_task

ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
# Kubeflow has a task of its own before each task: the one that decides whether it runs.
_DRIVER = "-driver"


def follow(
    client: Any,  # noqa: ANN401 (a kfp_server_api.ApiClient)
    run_id: str,
    tasks: list[str],
    console: Console,
    fail_fast: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Show the tasks of a run until it has ended.

    Args:
        client: A client of the service.
        run_id: The run's id.
        tasks: Names of its tasks.
        console: Where to show them.
        fail_fast: End the run at the first failed task.
        poll_seconds: Between two questions.

    Raises:
        JobFailedError: It failed or was cancelled.
        InputError: It can't be asked for any more.
        KeyboardInterrupt: Ctrl-C; the run goes on.
    """
    from kfp_server_api import ApiException, RunServiceApi
    from urllib3.exceptions import HTTPError

    runs = RunServiceApi(client)
    seen: dict[str, str] = {}
    lost = 0.0
    with signal_event(signal.SIGINT) as interrupted, Display(tasks, console) as display:
        while True:
            try:
                run = runs.run_service_get_run(run_id)
                if fail_fast and run.state == "RUNNING" and "FAILED" in seen.values():
                    runs.run_service_terminate_run(run_id)
                lost = 0.0
            except (ApiException, HTTPError, OSError, InputError) as error:
                lost += poll_seconds
                refused = isinstance(error, ApiException) and error.status < 500
                if refused or lost > LOST_SECONDS:
                    raise InputError(f"{say(error, run_id)}; the run goes on") from None
            else:
                for task in (run.run_details and run.run_details.task_details) or []:
                    if task.state == "RUNTIME_STATE_UNSPECIFIED":  # left out, after one that failed
                        continue
                    failed = task.state == "FAILED"
                    name = task.display_name.removesuffix(_DRIVER) if failed else task.display_name
                    over = failed or task.state == "SUCCEEDED"
                    took = (task.end_time - task.start_time).total_seconds() if over else None
                    show_task(display, name, task.state, "", took, seen)
                if run.state in ENDED:
                    display.skip_waiting()
                    break
            if interrupted.wait(poll_seconds):
                raise KeyboardInterrupt
    if run.state != "SUCCEEDED":
        reason = (
            ", ".join(name for name, state in seen.items() if state == "FAILED")
            or (run.error and run.error.message)
            or "no reason"
        )
        raise JobFailedError(f"{run.display_name} {run.state.lower()}: {reason}")
