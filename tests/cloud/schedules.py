"""google.cloud.aiplatform.v1.ScheduleService."""

import time
from typing import Any

import access
import checks
from cron import Cron
from errors import ApiError, Found, not_found
from google.cloud.aiplatform_v1.types import Schedule
from listing import page
from messages import copy, pb, stamp, update
from messages import made as created
from pipelines import check_job, create_job
from rpc import Service
from state import State

_State = Schedule.State


class ScheduleService(Service):
    """Schedules. They submit a job when a test says `run_schedule`, or when their time comes."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance)

    def create_schedule(self, request: Any) -> Any:
        new = copy(request.schedule)
        self._check(new, request.parent)
        access.check_act_as(self.state, new.create_pipeline_job_request.pipeline_job.service_account)
        for output in ("started_run_count", "end_time" if not new.HasField("end_time") else "last_pause_time"):
            new.ClearField(output)
        new.name = f"{access.place_of(request.parent)}/schedules/{self.state.new_id()}"
        new.state = _State.ACTIVE
        created(new)
        if not new.HasField("start_time"):
            new.start_time.CopyFrom(new.create_time)
        self._plan(new, time.time())
        self.state.table("schedules")[new.name] = new
        return new

    def get_schedule(self, request: Any) -> Any:
        return self._schedule(request.name)

    def list_schedules(self, request: Any) -> Any:
        place = access.place_of(request.parent)
        found = [s for name, s in self.state.table("schedules").items() if name.startswith(f"{place}/")]
        shown, token = page(request, found)
        return pb.ListSchedulesResponse(schedules=shown, next_page_token=token)

    def pause_schedule(self, request: Any) -> None:
        schedule = self._schedule(request.name)
        self._need(schedule, _State.ACTIVE)
        schedule.state = _State.PAUSED
        stamp(schedule.last_pause_time)
        schedule.ClearField("next_run_time")

    def resume_schedule(self, request: Any) -> None:
        schedule = self._schedule(request.name)
        self._need(schedule, _State.PAUSED)
        schedule.state, schedule.catch_up = _State.ACTIVE, request.catch_up
        stamp(schedule.last_resume_time)
        self._plan(schedule, time.time())

    def update_schedule(self, request: Any) -> Any:
        found, old = Found(), self._schedule(request.schedule.name)
        checks.mask(found, request.update_mask.paths, old)
        found.done()
        new = copy(old)
        update(new, request.schedule, request.update_mask.paths)
        self._check(new, old.name)
        new.name = old.name
        stamp(new.update_time)
        if new.state == _State.ACTIVE:
            self._plan(new, time.time())
        self.state.table("schedules")[old.name] = new
        return new

    def delete_schedule(self, request: Any) -> Any:
        schedule = self._schedule(request.name)

        def delete() -> None:
            self.state.table("schedules").pop(schedule.name, None)

        return self.state.start("DeleteSchedule", schedule.name, pb.DeleteOperationMetadata(), delete)

    def _schedule(self, name: str) -> Any:
        schedule = self.state.table("schedules").get(access.canonical(name))
        if schedule is None:
            raise not_found("Schedule", name)
        return schedule

    def _need(self, schedule: Any, state: int) -> None:
        if schedule.state != state:
            now = _State(schedule.state).name
            raise ApiError("FAILED_PRECONDITION", f'The Schedule "{schedule.name}" is {now}, not {_State(state).name}.')

    def _check(self, schedule: Any, parent: str) -> None:
        found, field = Found(), "schedule"
        checks.display_name(found, schedule.display_name, f"{field}.display_name")
        try:
            found.need(Cron(schedule.cron).next(time.time()), f"{field}.cron", f"'{schedule.cron}' never comes")
        except ValueError as error:
            found.add(f"{field}.cron", f"'{schedule.cron}' is not a valid cron expression: {error}")
        runs = schedule.max_concurrent_run_count
        found.need(runs >= 1, f"{field}.max_concurrent_run_count", f"{runs}, expected at least 1")
        found.need(schedule.max_run_count >= 0, f"{field}.max_run_count", f"{schedule.max_run_count} is negative")
        if schedule.HasField("end_time"):
            end = schedule.end_time.ToMicroseconds() / 1e6
            found.need(end > time.time(), f"{field}.end_time", "is in the past")
        if found.need(schedule.HasField("create_pipeline_job_request"), f"{field}.request", "is missing"):
            inner, here = schedule.create_pipeline_job_request, f"{field}.create_pipeline_job_request"
            same = access.place_of(inner.parent) == access.place_of(parent)
            found.need(same, f"{here}.parent", f"'{inner.parent}' is not the schedule's own, {parent}")
            found.need(not inner.pipeline_job_id, f"{here}.pipeline_job_id", f"'{inner.pipeline_job_id}' can't be set")
            check_job(self.state, found, inner.pipeline_job, f"{here}.pipeline_job")
        found.done()

    def _plan(self, schedule: Any, after: float) -> None:
        first = max(after, schedule.start_time.ToMicroseconds() / 1e6)
        when = Cron(schedule.cron).next(first)
        over = schedule.max_run_count and schedule.started_run_count >= schedule.max_run_count
        if schedule.HasField("end_time") and when and when > schedule.end_time.ToMicroseconds() / 1e6:
            over = True
        if over or when is None:
            schedule.state = _State.COMPLETED
            schedule.ClearField("next_run_time")
        else:
            stamp(schedule.next_run_time, when)

    def _advance(self, now: float) -> None:
        for schedule in self.state.table("schedules").values():
            if schedule.state == _State.ACTIVE and schedule.next_run_time.ToMicroseconds() / 1e6 <= now:
                run(self.state, schedule)
                self._plan(schedule, now)


def run(state: State, schedule: Any) -> str:
    """Submit the job of a schedule; an error stands in the schedule, as Google has it.

    Returns:
        The job's name, or why there is none.
    """
    inner, said = schedule.create_pipeline_job_request, schedule.last_scheduled_run_response
    stamp(said.scheduled_run_time)
    try:
        wanted = copy(inner.pipeline_job)
        wanted.display_name = wanted.display_name or schedule.display_name
        job = create_job(state, inner.parent, wanted, "", schedule.name)
    except ApiError as error:
        said.run_response = f"{error.code}: {error.message}"
        return said.run_response
    schedule.started_run_count += 1
    said.run_response = f"OK: {job.name}"
    return str(job.name)
