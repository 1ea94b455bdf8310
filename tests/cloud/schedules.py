"""google.cloud.aiplatform.v1.ScheduleService; schedules are kept, and submit nothing."""

import re
from typing import Any
from zoneinfo import ZoneInfo

import access
import checks
from errors import ApiError, Found
from google.cloud.aiplatform_v1.types import Schedule
from messages import made
from pipelines import check_job
from rpc import Service, deleting, listing

_State = Schedule.State
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


class ScheduleService(Service):
    """Schedules."""

    list_schedules, delete_schedule = listing("schedules"), deleting("schedules")

    def create_schedule(self, request: Any) -> Any:
        new, found, field = request.schedule, Found(), "schedule"
        checks.common(found, new, field)
        try:
            _check_cron(new.cron)
        except (ValueError, KeyError) as error:
            found.add(f"{field}.cron", f"'{new.cron}' is not a valid cron expression: {error}")
        runs = new.max_concurrent_run_count
        found.need(runs >= 1, f"{field}.max_concurrent_run_count", f"{runs}, expected at least 1")
        inner, here = new.create_pipeline_job_request, f"{field}.create_pipeline_job_request"
        same = access.canonical(inner.parent) == access.canonical(request.parent)
        found.need(same, f"{here}.parent", f"'{inner.parent}' is not the schedule's own, {request.parent}")
        found.need(not inner.pipeline_job_id, f"{here}.pipeline_job_id", f"'{inner.pipeline_job_id}' can't be set")
        check_job(self.state, found, inner.pipeline_job, f"{here}.pipeline_job")
        found.done()
        name = f"{access.place_of(request.parent)}/schedules/{self.state.new_id()}"
        return self.state.table("schedules").setdefault(name, made(new, name, state=_State.ACTIVE))

    def pause_schedule(self, request: Any) -> None:
        self._move(request.name, _State.ACTIVE, _State.PAUSED)

    def resume_schedule(self, request: Any) -> None:
        self._move(request.name, _State.PAUSED, _State.ACTIVE)

    def _move(self, name: str, before: int, after: int) -> None:
        schedule = access.find(self.state, "schedules", name)
        if schedule.state != before:
            raise ApiError("FAILED_PRECONDITION", f'The Schedule "{name}" is {_State(schedule.state).name}.')
        schedule.state = after


def _check_cron(text: str) -> None:
    """Five fields of numbers, with an optional time zone before them.

    Raises:
        ValueError: It's no cron expression.
    """
    if match := re.fullmatch(r"(?:CRON_)?TZ=(\S+) (.*)", text):
        ZoneInfo(match[1])
        text = match[2]
    if len(fields := text.split()) != len(_RANGES):
        raise ValueError(f"'{text}' has {len(fields)} fields, expected 5")
    for field, (low, high) in zip(fields, _RANGES, strict=True):
        shape = re.fullmatch(r"(\*|\d+(-\d+)?)(/[1-9]\d*)?(,\d+(-\d+)?)*", field)
        if not shape or not all(low <= int(number) <= high for number in re.findall(r"(?<![/\d])\d+", field)):
            raise ValueError(f"'{field}' is no field within {low} and {high}")
