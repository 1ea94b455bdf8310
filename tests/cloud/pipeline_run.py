"""What becomes of a pipeline job: its tasks one after another, by time."""

from dataclasses import dataclass
from typing import Any

import spec as specs
from google.cloud.aiplatform_v1.types import PipelineState, PipelineTaskDetail
from messages import made, pb, stamp
from state import State

_State = PipelineTaskDetail.State
ENDED = (PipelineState.PIPELINE_STATE_SUCCEEDED, PipelineState.PIPELINE_STATE_FAILED)
ENDED += (PipelineState.PIPELINE_STATE_CANCELLED,)
_OVER = (_State.SUCCEEDED, _State.FAILED, _State.CANCELLED, _State.NOT_TRIGGERED)


@dataclass
class Task:
    """A task of the root dag; `detail` is a part of the job's message, and `plan` what a test said of it."""

    detail: Any
    needs: set[str]
    plan: dict[str, Any]
    started: float = 0.0
    ended: float = 0.0


class Run:
    """A pipeline job and its tasks."""

    def __init__(self, state: State, job: Any, spec: dict[str, Any], plans: dict[str, dict[str, Any]]) -> None:
        self.state, self.job, self.spec, self.plans = state, job, spec, plans
        self.tasks: dict[str, Task] = {}
        self.cancelled: float | None = None

    def advance(self, now: float) -> None:
        """Let happen what should have happened by now, in its order."""
        settings = self.state.settings
        if self.job.state in ENDED:
            return
        if self.cancelled is not None:
            if now >= self.cancelled + settings.cancel_seconds:
                self._end_cancelled(self.cancelled + settings.cancel_seconds)
            return
        if self.job.state == PipelineState.PIPELINE_STATE_PENDING:
            began = self.job.create_time.ToMicroseconds() / 1e6 + settings.queue_seconds
            if now < began:
                return
            self._begin(began)
        while True:
            self._start_ready()
            running = [task for task in self.tasks.values() if task.detail.state == _State.RUNNING]
            if not running:
                self._end()
                return
            first = min(running, key=lambda task: task.started)
            due = settings.end(first.started, settings.task_seconds)
            if settings.hold or due > now:
                return
            failed = first.plan.get("outcome") == "FAILED"
            self._finish(first, "FAILED" if failed else "SUCCEEDED", due, first.plan.get("message", ""))

    def cancel(self, now: float) -> None:
        """Begin to cancel the job."""
        if self.cancelled is None:
            self.cancelled = now
            self.job.state = PipelineState.PIPELINE_STATE_CANCELLING

    def _begin(self, now: float) -> None:
        self.job.state = PipelineState.PIPELINE_STATE_RUNNING
        stamp(self.job.start_time, now)
        place, job_id = self.job.name.split("/pipelineJobs/")
        context = pb.Context(display_name=job_id, schema_title="system.PipelineRun")
        context = made(context, f"{place}/metadataStores/default/contexts/{job_id}")
        self.state.table("contexts")[context.name] = context
        self.job.job_detail.pipeline_run_context.CopyFrom(context)
        root = self._detail(self.spec["pipelineInfo"]["name"], now)
        root.state = _State.RUNNING
        for name, spec in self.spec["root"]["dag"]["tasks"].items():
            detail = self._detail(name, now)
            detail.parent_task_id = root.task_id
            self.tasks[name] = Task(detail, specs.needs(spec), self.plans.get(name, {}))

    def _detail(self, name: str, now: float) -> Any:
        detail = self.job.job_detail.task_details.add(task_id=int(self.state.new_id()), task_name=name)
        detail.state = _State.PENDING
        stamp(detail.create_time, now)
        return detail

    def _start_ready(self) -> None:
        """Start each task whose needs have succeeded; a task whose needs are over otherwise isn't triggered."""
        # The compiled tasks may stand in any order.
        for _ in self.tasks:
            for task in self.tasks.values():
                before = [self.tasks[name] for name in task.needs]
                if task.detail.state != _State.PENDING or any(other.detail.state not in _OVER for other in before):
                    continue
                now = max([other.ended for other in before] + [self.job.start_time.ToMicroseconds() / 1e6])
                if any(other.detail.state != _State.SUCCEEDED for other in before):
                    self._finish(task, "NOT_TRIGGERED", now, "The task's trigger policy is not satisfied.")
                    continue
                task.started, task.detail.state = now, _State.RUNNING
                stamp(task.detail.start_time, now)
                main = f"{self.job.name.split('/pipelineJobs/')[0]}/customJobs/{self.state.new_id()}"
                task.detail.executor_detail.container_detail.main_job = main

    def _finish(self, task: Task, state: str, now: float, message: str = "") -> None:
        task.ended, task.detail.state = now, _State[state]
        stamp(task.detail.end_time, now)
        if message:
            task.detail.error.code, task.detail.error.message = 9, message

    def _end(self) -> None:
        failed = [name for name, task in self.tasks.items() if task.detail.state == _State.FAILED]
        reason = f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(failed)}]."
        now = max(task.ended for task in self.tasks.values())
        self._close("FAILED" if failed else "SUCCEEDED", now, reason if failed else "")

    def _end_cancelled(self, now: float) -> None:
        for task in self.tasks.values():
            if task.detail.state not in _OVER:
                self._finish(task, "CANCELLED" if task.started else "NOT_TRIGGERED", now)
        self._close("CANCELLED", now, "The pipeline job is cancelled.")

    def _close(self, state: str, now: float, error: str) -> None:
        self.job.state = PipelineState[f"PIPELINE_STATE_{state}"]
        if error:
            self.job.error.code, self.job.error.message = 9, error
        for one in (self.job, *self.job.job_detail.task_details[:1]):
            stamp(one.end_time, now)
        for root in self.job.job_detail.task_details[:1]:
            root.state = _State[state]
