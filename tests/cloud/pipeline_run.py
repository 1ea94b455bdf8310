"""What becomes of a pipeline job: its tasks one after another, by time."""

from dataclasses import dataclass, field
from typing import Any

import spec as specs
from errors import number
from google.cloud.aiplatform_v1.types import Execution, PipelineState, PipelineTaskDetail
from messages import made, pb, stamp
from state import NUMBER, PROJECT, Settings, State

_State = PipelineTaskDetail.State
ENDED = (PipelineState.PIPELINE_STATE_SUCCEEDED, PipelineState.PIPELINE_STATE_FAILED)
ENDED += (PipelineState.PIPELINE_STATE_CANCELLED,)
_OVER = (_State.SUCCEEDED, _State.FAILED, _State.CANCELLED, _State.SKIPPED, _State.NOT_TRIGGERED)
_FAILED = "The replica workerpool0-0 exited with a non-zero status of 1. Termination reason: Error."


@dataclass
class Task:
    """A task of the root dag; `detail` is a part of the job's message."""

    detail: Any
    spec: dict[str, Any]
    plan: dict[str, Any]
    started: float = 0.0
    ended: float = 0.0
    tries: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.detail.state in _OVER

    @property
    def regardless(self) -> bool:
        """Whether it runs after tasks that failed too, as an exit task does."""
        return self.spec.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"


@dataclass
class Run:
    """A pipeline job and its tasks."""

    state: State
    job: Any
    spec: dict[str, Any]
    created: float
    plans: dict[str, dict[str, Any]]
    tasks: dict[str, Task] = field(default_factory=dict)
    stopped: bool = False
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
            self._end_task(first, self._due(first))

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
        job = self.job
        job.state = PipelineState.PIPELINE_STATE_RUNNING
        stamp(job.start_time, now)
        stamp(job.update_time, now)
        store = f"projects/{NUMBER}/locations/{job.name.split('/')[3]}/metadataStores/default"
        job_id, pipeline = job.name.rsplit("/", 1)[-1], self.spec["pipelineInfo"]["name"]
        for context, name, title in (
            (job.job_detail.pipeline_context, pipeline, "system.Pipeline"),
            (job.job_detail.pipeline_run_context, job_id, "system.PipelineRun"),
        ):
            contexts = self.state.table("contexts")
            full = f"{store}/contexts/{name}"
            if full not in contexts:
                contexts[full] = pb.Context(name=full, display_name=name, schema_title=title, schema_version="0.0.1")
                made(contexts[full], now)
            context.CopyFrom(contexts[full])
        root = job.job_detail.task_details.add(task_id=int(self.state.new_id()), task_name=pipeline)
        self._create(root, now)
        root.state = _State.RUNNING
        stamp(root.start_time, now)
        for name, spec in self.spec["root"]["dag"]["tasks"].items():
            detail = job.job_detail.task_details.add(
                task_id=int(self.state.new_id()), parent_task_id=root.task_id, task_name=name, state=_State.PENDING
            )
            stamp(detail.create_time, now)
            self.tasks[name] = Task(detail, spec, self.plans.get(name, {}))

    def _create(self, detail: Any, now: float) -> None:
        """Give a task its execution in the metadata store."""
        stamp(detail.create_time, now)
        store = self.job.job_detail.pipeline_run_context.name.rsplit("/contexts/", 1)[0]
        name = f"{store}/executions/{self.state.new_id()}"
        execution = pb.Execution(
            name=name,
            display_name=detail.task_name,
            state=Execution.State.RUNNING,
            schema_title="system.ContainerExecution",
            schema_version="0.0.1",
        )
        made(execution, now)
        self.state.table("executions")[name] = execution
        detail.execution.CopyFrom(execution)

    def _start_ready(self) -> None:
        changed = True
        while changed:
            changed = False
            for task in self.tasks.values():
                before = [self.tasks[name] for name in specs.needs(task.spec)]
                if task.detail.state != _State.PENDING or not all(other.over for other in before):
                    continue
                now = max([other.ended for other in before] + [self.job.start_time.ToMicroseconds() / 1e6])
                done = all(other.detail.state in (_State.SUCCEEDED, _State.SKIPPED) for other in before)
                if (done and not self.stopped) or task.regardless:
                    self._start(task, now)
                else:
                    self._finish(task, _State.NOT_TRIGGERED, now, "The task's trigger policy is not satisfied.")
                changed = True

    def _start(self, task: Task, now: float) -> None:
        self._create(task.detail, now)
        task.started = now
        task.tries += 1
        stamp(task.detail.start_time, now)
        if task.plan.get("outcome") == "SKIPPED":
            self._finish(task, _State.SKIPPED, now)
            return
        place = self.job.name.split("/pipelineJobs/")[0]
        task.detail.executor_detail.container_detail.main_job = f"{place}/customJobs/{self.state.new_id()}"
        self._move(task, _State.RUNNING, now)

    def _end_task(self, task: Task, now: float) -> None:
        plan = task.plan
        if plan.get("outcome", "SUCCEEDED") != "FAILED" or task.tries > plan.get("times", task.tries):
            self._finish(task, _State[plan["outcome"]] if plan.get("outcome") == "CANCELLED" else _State.SUCCEEDED, now)
            return
        message, code = plan.get("message", _FAILED), plan.get("code", 9)
        if task.tries <= int(task.spec.get("retryPolicy", {}).get("maxRetryCount", 0)):
            self._move(task, _State.PENDING, now, message, code)
            self._start(task, now)
            return
        self._finish(task, _State.FAILED, now, message, code)
        if self.job.runtime_config.failure_policy == 2:  # PIPELINE_FAILURE_POLICY_FAIL_FAST
            self.stopped = True
            for other in self.tasks.values():
                if other.detail.state == _State.RUNNING:
                    self._finish(other, _State.CANCELLED, now)

    def _finish(self, task: Task, state: int, now: float, message: str = "", code: int | str = 9) -> None:
        task.ended = now
        stamp(task.detail.end_time, now)
        if message:
            task.detail.error.code = number(code) if isinstance(code, str) else code
            task.detail.error.message = message
        self._move(task, state, now, message, code)
        execution = self.state.table("executions").get(task.detail.execution.name)
        if execution is not None:
            execution.state = {
                _State.SUCCEEDED: Execution.State.COMPLETE,
                _State.SKIPPED: Execution.State.CACHED,
                _State.CANCELLED: Execution.State.CANCELLED,
            }.get(state, Execution.State.FAILED)
            task.detail.execution.CopyFrom(execution)

    def _move(self, task: Task, state: int, now: float, message: str = "", code: int | str = 9) -> None:
        task.detail.state = state
        status = task.detail.pipeline_task_status.add(state=state)
        stamp(status.update_time, now)
        if message:
            status.error.code = number(code) if isinstance(code, str) else code
            status.error.message = message
        stamp(self.job.update_time, now)

    def _end(self) -> None:
        now = max(task.ended for task in self.tasks.values())
        failed = [name for name, task in self.tasks.items() if task.detail.state == _State.FAILED]
        root = self.job.job_detail.task_details[0]
        if failed:
            reason = f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(failed)}]."
            job_id = self.job.name.rsplit("/", 1)[-1]
            root.error.code = self.job.error.code = 9
            root.error.message = reason
            self.job.error.message = (
                f"{reason}; Job (project_id = {PROJECT}, job_id = {job_id}) is failed due to the above error.; "
                f"Failed to handle the job: {{project_number = {NUMBER}, job_id = {job_id}}}"
            )
        root.state = _State.FAILED if failed else _State.SUCCEEDED
        self._close(PipelineState.PIPELINE_STATE_FAILED if failed else PipelineState.PIPELINE_STATE_SUCCEEDED, now)

    def _end_cancelled(self, now: float) -> None:
        for task in self.tasks.values():
            if not task.over:
                ran = task.detail.state != _State.PENDING
                self._finish(task, _State.CANCELLED if ran else _State.NOT_TRIGGERED, now)
        for root in self.job.job_detail.task_details[:1]:
            root.state = _State.CANCELLED
        self.job.error.code, self.job.error.message = 1, "The pipeline job is cancelled."
        self._close(PipelineState.PIPELINE_STATE_CANCELLED, now)

    def _close(self, state: int, now: float) -> None:
        self.job.state = state
        stamp(self.job.end_time, now)
        stamp(self.job.update_time, now)
        for root in self.job.job_detail.task_details[:1]:
            stamp(root.end_time, now)
