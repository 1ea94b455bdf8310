"""Run a pipeline again and again: Vertex AI's schedules."""

import re
from typing import Any

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client, error_line
from pipeline.vertex.settings import Settings
from pipeline.vertex.submit import message

_CRON = re.compile(r"(TZ=\S+ |CRON_TZ=\S+ )?[-*/,0-9A-Za-z]+( [-*/,0-9A-Za-z]+){4}")


def create_schedule(job: dict[str, Any], name: str, cron: str, settings: Settings) -> Any:  # noqa: ANN401 (a Schedule)
    """Create a schedule that submits a pipeline job each time.

    Args:
        job: What `pipeline_job` made.
        name: The schedule's; there may be one of it.
        cron: Five fields, with an optional TZ=Europe/Berlin before them.
        settings: Where it runs.

    Raises:
        InputError: The cron expression isn't one, there is such a schedule, or it is refused.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import ScheduleServiceClient, types

    if not _CRON.fullmatch(cron):
        raise InputError(f"--cron: '{cron}', expected five fields such as '0 3 * * 1', with an optional TZ=Zone before")
    if there := [s for s in list_schedules(settings) if s.display_name == name]:
        raise InputError(f"schedule {name}: {there[0].name.rsplit('/', 1)[-1]} has this name; delete it first")
    schedule = types.Schedule(
        display_name=name,
        cron=cron,
        max_concurrent_run_count=1,
        create_pipeline_job_request=types.CreatePipelineJobRequest(parent=settings.parent, pipeline_job=message(job)),
    )
    try:
        return client(ScheduleServiceClient, settings.region).create_schedule(
            parent=settings.parent, schedule=schedule, timeout=CALL_SECONDS
        )
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"creating the schedule {name}")) from None


def list_schedules(settings: Settings) -> list[Any]:
    """All schedules of the project in the region.

    Raises:
        InputError: They can't be seen.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import ScheduleServiceClient

    try:
        return list(
            client(ScheduleServiceClient, settings.region).list_schedules(parent=settings.parent, timeout=CALL_SECONDS)
        )
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, "listing schedules")) from None


def change_schedule(action: str, name: str, settings: Settings) -> None:
    """Pause, resume or delete a schedule.

    Args:
        action: "pause", "resume" or "delete".
        name: Its display name or its number.
        settings: Where it is.

    Raises:
        InputError: There is none, or several of the name, or the change is refused.
    """
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import ScheduleServiceClient

    found = [s for s in list_schedules(settings) if name in (s.display_name, s.name.rsplit("/", 1)[-1])]
    if len(found) != 1:
        numbers = ", ".join(s.name.rsplit("/", 1)[-1] for s in found)
        raise InputError(f"schedule {name}: " + (f"several have this name: {numbers}" if found else "there is none"))
    schedules = client(ScheduleServiceClient, settings.region)
    try:
        if action == "delete":
            schedules.delete_schedule(name=found[0].name, timeout=CALL_SECONDS).result(timeout=CALL_SECONDS)
        elif action == "pause":
            schedules.pause_schedule(name=found[0].name, timeout=CALL_SECONDS)
        else:
            schedules.resume_schedule(name=found[0].name, timeout=CALL_SECONDS)
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, f"schedule {name}: {action}")) from None
