"""What becomes of a pipeline job: its tasks one after another, by time."""

from dataclasses import dataclass, field
from typing import Any

import spec as specs
from google.cloud.aiplatform_v1.types import PipelineState, PipelineTaskDetail
from messages import made, pb, stamp
from state import NUMBER, PROJECT, Settings, State

_State = PipelineTaskDetail.State
ENDED = (PipelineState.PIPELINE_STATE_SUCCEEDED, PipelineState.PIPELINE_STATE_FAILED)
ENDED += (PipelineState.PIPELINE_STATE_CANCELLED,)
_OVER = (_State.SUCCEEDED, _State.FAILED, _State.CANCELLED, _State.NOT_TRIGGERED)
_FAILED = "The replica workerpool0-0 exited with a non-zero status of 1. Termination reason: Error."


@dataclass
class Task:
    """A task of the root dag; `detail` is a part of the job's message."""

    detail: Any
    needs: set[str]
    plan: dict[str, Any]
    started: float = 0.0
    ended: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.detail.state in _OVER


@dataclass
class Run:
    """A pipeline job and its tasks."""

    state: State
    job: Any
    spec: dict[str, Any]
    created: float
    plans: dict[str, dict[str, Any]]
    tasks: dict[str, Task] = field(default_factory=dict)
    cancelled: float | None = None

    @property
    def settings(self) -> Settings:
        """What the test wants now."""
        return self.state.settings

    def advance(self, now: float) -> None:
        """Let happen what should have happened by now, in its order."""
        if self.job.state in ENDED:
            return
        if self.cancelled is not None:
            if now >= self.cancelled + self.settings.cancel_seconds:
                self._end_cancelled(self.cancelled + self.settings.cancel_seconds)
            return
        if self.job.state == PipelineState.PIPELINE_STATE_PENDING:
            if now < self.created + self.settings.queue_seconds:
                return
            self._begin(self.created + self.settings.queue_seconds)
        while True:
            self._start_ready()
            running = [task for task in self.tasks.values() if task.detail.state == _State.RUNNING]
            if not running:
                self._end()
                return
            first = min(running, key=self._due)
            if self.settings.hold or self._due(first) > now:
                return
            if first.plan.get("outcome") == "FAILED":
                message, code = first.plan.get("message", _FAILED), first.plan.get("code", 9)
                self._finish(first, _State.FAILED, self._due(first), message, code)
            else:
                self._finish(first, _State.SUCCEEDED, self._due(first))

    def cancel(self, now: float) -> None:
        """Begin to cancel the job."""
        self.cancelled = now
        self.job.state = PipelineState.PIPELINE_STATE_CANCELLING
        for task in self.tasks.values():
            if task.detail.state == _State.RUNNING:
                self._move(task, _State.CANCELLING, now)

    def _due(self, task: Task) -> float:
        return self.settings.end(task.started, task.plan.get("seconds", self.settings.task_seconds))

    def _begin(self, now: float) -> None:
        job, details = self.job, self.job.job_detail.task_details
        job.state = PipelineState.PIPELINE_STATE_RUNNING
        stamp(job.start_time, now)
        stamp(job.update_time, now)
        store = f"projects/{NUMBER}/locations/{job.name.split('/')[3]}/metadataStores/default"
        job_id, pipeline = job.name.rsplit("/", 1)[-1], self.spec["pipelineInfo"]["name"]
        context = pb.Context(name=f"{store}/contexts/{job_id}", display_name=job_id, schema_title="system.PipelineRun")
        made(context, now)
        self.state.table("contexts")[context.name] = context
        job.job_detail.pipeline_run_context.CopyFrom(context)
        root = details.add(task_id=int(self.state.new_id()), task_name=pipeline, state=_State.RUNNING)
        stamp(root.create_time, now)
        for name, spec in self.spec["root"]["dag"]["tasks"].items():
            task = details.add(task_id=int(self.state.new_id()), parent_task_id=root.task_id, task_name=name)
            task.state = _State.PENDING
            stamp(task.create_time, now)
            self.tasks[name] = Task(task, specs.needs(spec), self.plans.get(name, {}))

    def _start_ready(self) -> None:
        changed = True
        while changed:
            changed = False
            for task in self.tasks.values():
                before = [self.tasks[name] for name in task.needs]
                if task.detail.state != _State.PENDING or not all(other.over for other in before):
                    continue
                now = max([other.ended for other in before] + [self.job.start_time.ToMicroseconds() / 1e6])
                if all(other.detail.state == _State.SUCCEEDED for other in before):
                    task.started = now
                    stamp(task.detail.start_time, now)
                    main = f"{self.job.name.split('/pipelineJobs/')[0]}/customJobs/{self.state.new_id()}"
                    task.detail.executor_detail.container_detail.main_job = main
                    self._move(task, _State.RUNNING, now)
                else:
                    self._finish(task, _State.NOT_TRIGGERED, now, "The task's trigger policy is not satisfied.")
                changed = True

    def _finish(self, task: Task, state: int, now: float, message: str = "", code: int = 9) -> None:
        task.ended = now
        stamp(task.detail.end_time, now)
        if message:
            task.detail.error.code, task.detail.error.message = code, message
        self._move(task, state, now)

    def _move(self, task: Task, state: int, now: float) -> None:
        task.detail.state = state
        stamp(task.detail.pipeline_task_status.add(state=state).update_time, now)
        stamp(self.job.update_time, now)

    def _end(self) -> None:
        now = max(task.ended for task in self.tasks.values())
        failed = [name for name, task in self.tasks.items() if task.detail.state == _State.FAILED]
        if failed:
            reason = f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(failed)}]."
            job_id = self.job.name.rsplit("/", 1)[-1]
            self.job.error.code, self.job.error.message = (
                9,
                f"{reason}; Job (project_id = {PROJECT}, job_id = {job_id}) is failed due to the above error.; "
                f"Failed to handle the job: {{project_number = {NUMBER}, job_id = {job_id}}}",
            )
        self._close("FAILED" if failed else "SUCCEEDED", now)

    def _end_cancelled(self, now: float) -> None:
        for task in self.tasks.values():
            if not task.over:
                ran = task.detail.state != _State.PENDING
                self._finish(task, _State.CANCELLED if ran else _State.NOT_TRIGGERED, now)
        self.job.error.code, self.job.error.message = 1, "The pipeline job is cancelled."
        self._close("CANCELLED", now)

    def _close(self, state: str, now: float) -> None:
        self.job.state = PipelineState[f"PIPELINE_STATE_{state}"]
        stamp(self.job.end_time, now)
        stamp(self.job.update_time, now)
        for root in self.job.job_detail.task_details[:1]:
            root.state = _State[state]
            stamp(root.end_time, now)
