"""google.cloud.aiplatform.v1.ScheduleService; schedules are kept, and submit nothing."""

import re
import time
from typing import Any
from zoneinfo import ZoneInfo

import access
import checks
from errors import ApiError, Found
from google.cloud.aiplatform_v1.types import Schedule
from listing import page
from messages import copy, made, pb, stamp
from pipelines import check_job
from rpc import Service

_State = Schedule.State
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
# Seconds until a schedule's next run, whatever its times are: it submits nothing.
_SOON = 3600


class ScheduleService(Service):
    """Schedules."""

    def create_schedule(self, request: Any) -> Any:
        new = copy(request.schedule)
        self._check(new, request.parent)
        new.name = f"{access.place_of(request.parent)}/schedules/{self.state.new_id()}"
        new.state = _State.ACTIVE
        made(new)
        new.start_time.CopyFrom(new.create_time)
        stamp(new.next_run_time, time.time() + _SOON)
        self.state.table("schedules")[new.name] = new
        return new

    def list_schedules(self, request: Any) -> Any:
        shown, token = page(request, access.below(self.state, request.parent, "schedules"))
        return pb.ListSchedulesResponse(schedules=shown, next_page_token=token)

    def pause_schedule(self, request: Any) -> None:
        schedule = self._in_state(request.name, _State.ACTIVE)
        schedule.state = _State.PAUSED
        stamp(schedule.last_pause_time)
        schedule.ClearField("next_run_time")

    def resume_schedule(self, request: Any) -> None:
        schedule = self._in_state(request.name, _State.PAUSED)
        schedule.state, schedule.catch_up = _State.ACTIVE, request.catch_up
        stamp(schedule.last_resume_time)
        stamp(schedule.next_run_time, time.time() + _SOON)

    def delete_schedule(self, request: Any) -> Any:
        name = access.find(self.state, "schedules", request.name).name

        def delete() -> None:
            self.state.table("schedules").pop(name, None)

        return self.state.start("DeleteSchedule", name, pb.DeleteOperationMetadata(), delete)

    def _in_state(self, name: str, state: int) -> Any:
        schedule = access.find(self.state, "schedules", name)
        if schedule.state != state:
            now = _State(schedule.state).name
            raise ApiError("FAILED_PRECONDITION", f'The Schedule "{name}" is {now}, not {_State(state).name}.')
        return schedule

    def _check(self, schedule: Any, parent: str) -> None:
        found, field, cron = Found(), "schedule", schedule.cron
        checks.display_name(found, schedule.display_name, f"{field}.display_name")
        try:
            check_cron(cron)
        except (ValueError, KeyError) as error:
            found.add(f"{field}.cron", f"'{cron}' is not a valid cron expression: {error}")
        runs = schedule.max_concurrent_run_count
        found.need(runs >= 1, f"{field}.max_concurrent_run_count", f"{runs}, expected at least 1")
        if found.need(schedule.HasField("create_pipeline_job_request"), f"{field}.request", "is missing"):
            inner, here = schedule.create_pipeline_job_request, f"{field}.create_pipeline_job_request"
            same = access.place_of(inner.parent) == access.place_of(parent)
            found.need(same, f"{here}.parent", f"'{inner.parent}' is not the schedule's own, {parent}")
            found.need(not inner.pipeline_job_id, f"{here}.pipeline_job_id", f"'{inner.pipeline_job_id}' can't be set")
            check_job(self.state, found, inner.pipeline_job, f"{here}.pipeline_job")
        found.done()


def check_cron(text: str) -> None:
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
