"""Schedules of Vertex AI, which submit a pipeline job at the times of a cron expression."""

import re

from google.cloud.aiplatform_v1 import Schedule, ScheduleServiceClient, types

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client
from components.vertex.errors import asking
from pipeline.vertex.request import Request
from pipeline.vertex.settings import Settings
from pipeline.vertex.submit import message

_CRON = re.compile(r"(TZ=\S+ |CRON_TZ=\S+ )?[-*/,0-9A-Za-z]+( [-*/,0-9A-Za-z]+){4}")


def create_schedule(job: Request, name: str, cron: str, settings: Settings) -> Schedule:
    """Create a schedule. `cron` has five fields, with an optional TZ=Europe/Berlin before them.

    Raises:
        InputError: The cron expression is malformed, the name is taken, or the schedule is refused.
    """
    if not _CRON.fullmatch(cron):
        raise InputError(f"--cron: '{cron}', expected five fields such as '0 3 * * 1', with an optional TZ=Zone before")
    if same_name := [s for s in list_schedules(settings) if s.display_name == name]:
        raise InputError(f"schedule {name}: {same_name[0].name.rsplit('/', 1)[-1]} has this name; delete it first")
    schedule = types.Schedule(
        display_name=name,
        cron=cron,
        max_concurrent_run_count=1,
        create_pipeline_job_request=types.CreatePipelineJobRequest(parent=settings.parent, pipeline_job=message(job)),
    )
    with asking(f"creating the schedule {name}"):
        return client(ScheduleServiceClient, settings.region).create_schedule(
            parent=settings.parent, schedule=schedule, timeout=CALL_SECONDS
        )


def list_schedules(settings: Settings) -> list[Schedule]:
    """All schedules of the project in the region.

    Raises:
        InputError: They can't be read.
    """
    schedules = client(ScheduleServiceClient, settings.region)
    with asking("listing schedules"):
        return list(schedules.list_schedules(parent=settings.parent, timeout=CALL_SECONDS))


def change_schedule(action: str, name: str, settings: Settings) -> None:
    """Change a schedule, by its display name or its number. The action is "pause", "resume" or "delete".

    Raises:
        InputError: No schedule or several have the name, or the change is refused.
    """
    matching = [s for s in list_schedules(settings) if name in (s.display_name, s.name.rsplit("/", 1)[-1])]
    if len(matching) != 1:
        numbers = ", ".join(s.name.rsplit("/", 1)[-1] for s in matching)
        raise InputError(f"schedule {name}: " + (f"several have this name: {numbers}" if matching else "there is none"))
    schedules = client(ScheduleServiceClient, settings.region)
    with asking(f"schedule {name}: {action}"):
        if action == "delete":
            schedules.delete_schedule(name=matching[0].name, timeout=CALL_SECONDS).result(timeout=CALL_SECONDS)
        elif action == "pause":
            schedules.pause_schedule(name=matching[0].name, timeout=CALL_SECONDS)
        else:
            schedules.resume_schedule(name=matching[0].name, timeout=CALL_SECONDS)
