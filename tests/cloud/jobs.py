"""google.cloud.aiplatform.v1.JobService: custom jobs here, batch predictions in batch.py."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import access
import checks
import machine_types
from batch import BatchPredictionJobs
from errors import ApiError, Found, exceeded, number
from google.cloud.aiplatform_v1.types import JobState, Scheduling
from listing import page
from messages import copy, pb, stamp
from messages import made as created
from replicas import Replicas
from state import State

ENDED = (JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED)
_LONGEST_SECONDS = 7 * 24 * 3600
_FAILED = "The replica workerpool0-0 exited with a non-zero status of 1. Termination reason: Error."


@dataclass
class Job:
    """A custom job, and the processes that it runs if it really runs some."""

    message: Any
    plan: dict[str, Any]
    created: float
    replicas: Replicas | None = None
    cancelled: float | None = None
    used: dict[str, int] = field(default_factory=dict)

    @property
    def started(self) -> float:
        """When it began to run."""
        return float(self.message.start_time.ToMicroseconds() / 1e6)


class JobService(BatchPredictionJobs):
    """Custom jobs and batch predictions."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance_custom)
        state.resets.append(self._kill)

    def create_custom_job(self, request: Any) -> Any:
        state, spec, found = self.state, request.custom_job.job_spec, Found()
        checks.display_name(found, request.custom_job.display_name, "custom_job.display_name")
        checks.labels(found, request.custom_job.labels, "custom_job.labels")
        _check_spec(state, found, spec, "custom_job.job_spec")
        found.done()
        used: Counter[str] = Counter()
        for pool in spec.worker_pool_specs:
            spot = spec.scheduling.strategy == Scheduling.Strategy.SPOT
            used.update(machine_types.uses(pool.machine_spec, pool.replica_count, spot))
        taken = Counter(used)
        for job in state.table("customJobs").values():
            if job.message.state not in ENDED:
                taken.update(job.used)
        short = [name for name in used if taken[name] > state.settings.quota.get(name, taken[name])]
        if short:
            raise exceeded(short)
        new = copy(request.custom_job)
        new.name = f"{access.place_of(request.parent)}/customJobs/{state.new_id()}"
        new.state = JobState.JOB_STATE_PENDING
        created(new)
        state.table("customJobs")[new.name] = Job(new, dict(state.settings.custom_job), time.time(), used=dict(used))
        return new

    def get_custom_job(self, request: Any) -> Any:
        return access.find(self.state, "customJobs", request.name).message

    def list_custom_jobs(self, request: Any) -> Any:
        jobs = access.below(self.state, request.parent, "customJobs")
        shown, token = page(request, [job.message for job in jobs])
        return pb.ListCustomJobsResponse(custom_jobs=shown, next_page_token=token)

    def cancel_custom_job(self, request: Any) -> None:
        job = access.find(self.state, "customJobs", request.name)
        if job.message.state in ENDED:
            raise ApiError("FAILED_PRECONDITION", f'The CustomJob "{job.message.name}" has ended already.')
        if job.cancelled is None:
            job.cancelled = time.time()
            job.message.state = JobState.JOB_STATE_CANCELLING
            if job.replicas:
                job.replicas.terminate()

    def _advance_custom(self, now: float) -> None:
        for job in self.state.table("customJobs").values():
            if job.message.state not in ENDED:
                self._advance_job(job, now)

    def _advance_job(self, job: Job, now: float) -> None:
        settings = self.state.settings
        if job.cancelled is not None:
            if job.replicas is None:
                if now >= job.cancelled + settings.cancel_seconds:
                    _end(job, JobState.JOB_STATE_CANCELLED, job.cancelled + settings.cancel_seconds)
            elif job.replicas.gone(now):
                _end(job, JobState.JOB_STATE_CANCELLED, now)
            return
        if job.message.state == JobState.JOB_STATE_PENDING:
            if now < job.created + settings.queue_seconds:
                return
            job.message.state = JobState.JOB_STATE_RUNNING
            stamp(job.message.start_time, job.created + settings.queue_seconds)
            stamp(job.message.update_time, job.created + settings.queue_seconds)
            if job.plan.get("run"):
                job.replicas = Replicas(job.message, job.plan, self.state.folder)
        if job.replicas is not None:
            _follow(job, now)
            return
        end = settings.end(job.started, job.plan.get("seconds", settings.job_seconds))
        if settings.hold or now < end:
            return
        outcome = job.plan.get("outcome", "SUCCEEDED")
        if outcome != "SUCCEEDED":
            _fail(job, job.plan.get("message", _FAILED), job.plan.get("code", 9))
        _end(job, JobState[f"JOB_STATE_{outcome}"], end)

    def _kill(self) -> None:
        """End all processes."""
        for job in getattr(self.state, "tables", {}).get("customJobs", {}).values():
            if job.replicas:
                job.replicas.kill()


def _follow(job: Job, now: float) -> None:
    """Let a job's state follow its processes."""
    result = job.replicas.result(now)
    if result is None:
        return
    if result:
        _fail(job, result, 9)
    _end(job, JobState.JOB_STATE_FAILED if result else JobState.JOB_STATE_SUCCEEDED, now)


def _fail(job: Job, message: str, code: int | str) -> None:
    job.message.error.code = number(code) if isinstance(code, str) else code
    job.message.error.message = message


def _end(job: Job, state: int, now: float) -> None:
    job.message.state = state
    stamp(job.message.end_time, now)
    stamp(job.message.update_time, now)
    if state == JobState.JOB_STATE_CANCELLED:
        _fail(job, "CANCELED", 1)


def _check_spec(state: State, found: Found, spec: Any, field: str) -> None:
    pools = spec.worker_pool_specs
    found.need(pools, f"{field}.worker_pool_specs", "is empty")
    found.need(len(pools) <= 4, f"{field}.worker_pool_specs", f"has {len(pools)} pools, expected at most 4")
    for index, pool in enumerate(pools):
        _check_pool(found, pool, index, f"{field}.worker_pool_specs[{index}]")
    if any(machine_types.is_tpu(pool.machine_spec.machine_type) for pool in pools):
        found.need(len(pools) == 1, f"{field}.worker_pool_specs", f"{len(pools)} pools, a TPU job has one")
    checks.account(found, spec.service_account, f"{field}.service_account")
    checks.network(found, spec.network, f"{field}.network")
    checks.tensorboard(found, spec.tensorboard, f"{field}.tensorboard")
    if spec.tensorboard:
        found.need(spec.service_account, f"{field}.service_account", "is missing, which a job with a tensorboard needs")
    uri = spec.base_output_directory.output_uri_prefix
    if spec.HasField("base_output_directory"):
        checks.gs(found, state, uri, f"{field}.base_output_directory.output_uri_prefix")
    elif spec.tensorboard:
        found.add(f"{field}.base_output_directory", "is missing, which a job with a tensorboard needs")
    seconds = spec.scheduling.timeout.ToMilliseconds() / 1000
    fine = 0 <= seconds <= _LONGEST_SECONDS
    found.need(fine, f"{field}.scheduling.timeout", f"{seconds:g}s is not within 0 and {_LONGEST_SECONDS}s")


def _check_pool(found: Found, pool: Any, index: int, field: str) -> None:
    kind = pool.WhichOneof("task")
    if found.need(kind == "container_spec", field, f"has {kind or 'no task'}, expected a container_spec"):
        container = pool.container_spec
        found.need(container.image_uri, f"{field}.container_spec.image_uri", "is missing")
        for variable in container.env:
            found.need(variable.name, f"{field}.container_spec.env", "a variable has no name")
    replicas, machine = pool.replica_count, pool.machine_spec
    if index == 0:
        found.need(replicas == 1, f"{field}.replica_count", f"{replicas}, expected 1 for the first pool")
    else:
        found.need(replicas >= 1, f"{field}.replica_count", f"{replicas}, expected at least 1")
    machine_types.check(found, machine, f"{field}.machine_spec")
    if machine_types.is_tpu(machine.machine_type):
        found.need(replicas == 1, f"{field}.replica_count", f"{replicas}, a TPU pool has one replica")
    size = pool.disk_spec.boot_disk_size_gb
    fine = size == 0 or 100 <= size <= 64000
    found.need(fine, f"{field}.disk_spec.boot_disk_size_gb", f"{size} is not within 100 and 64000")
