"""google.cloud.aiplatform.v1.JobService: custom jobs and batch predictions."""

import time
from collections import Counter
from typing import Any

import access
import checks
import machine_types
from errors import ApiError, Found, exceeded
from google.cloud.aiplatform_v1.types import JobState, Scheduling
from messages import made, stamp
from models import find_version
from replicas import Replicas
from rpc import Service, getting, listing
from state import State

_ENDED = (JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED)
_LONGEST_SECONDS = 7 * 24 * 3600
_FAILED = "The replica workerpool0-0 exited with a non-zero status of 1. Termination reason: Error."


class JobService(Service):
    """Custom jobs, and batch predictions: the server computes none, it only writes an empty file of results."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance)

    get_custom_job = getting("customJobs")
    list_custom_jobs = listing("customJobs")
    get_batch_prediction_job = getting("batchPredictionJobs")

    def create_custom_job(self, request: Any) -> Any:
        state, job, found = self.state, request.custom_job, Found()
        checks.common(found, job, "custom_job")
        _check_spec(state, found, job.job_spec, "custom_job.job_spec")
        found.done()
        used = _uses(job.job_spec)
        taken = sum((_uses(j.job_spec) for j in state.table("customJobs").values() if j.state not in _ENDED), used)
        if short := [name for name in used if taken[name] > state.settings.quota.get(name, taken[name])]:
            raise exceeded(short)
        return self._add("customJobs", request.parent, job, state.settings.custom_job)

    def cancel_custom_job(self, request: Any) -> None:
        job = self.get_custom_job(request)
        if job.state in _ENDED:
            raise ApiError("FAILED_PRECONDITION", f'The CustomJob "{job.name}" has ended already.')
        if job.state != JobState.JOB_STATE_CANCELLING:
            job.state = JobState.JOB_STATE_CANCELLING
            self.state.table("cancelled")[job.name] = time.time()

    def create_batch_prediction_job(self, request: Any) -> Any:
        new, found, field = request.batch_prediction_job, Found(), "batch_prediction_job"
        checks.common(found, new, field)
        formats = new.input_config.instances_format, new.output_config.predictions_format
        # CSV becomes flat lists and a TFRecord {"b64"}, which this project's server doesn't take.
        found.need(formats == ("jsonl", "jsonl"), f"{field}.input_config.instances_format", f"{formats} is not jsonl")
        uris, here = new.input_config.gcs_source.uris, f"{field}.input_config.gcs_source.uris"
        found.need(uris, here, "is empty")
        for uri in uris:
            if place := checks.gs(found, self.state, uri, here):
                prefix = place[1].partition("*")[0]
                found.need(checks.objects(self.state, place[0], prefix), here, f"'{uri}' matches no object")
        prefix = new.output_config.gcs_destination.output_uri_prefix
        checks.gs(found, self.state, prefix, f"{field}.output_config.gcs_destination.output_uri_prefix")
        resources = new.dedicated_resources
        machine_types.check(found, resources.machine_spec, f"{field}.dedicated_resources.machine_spec", serves=True)
        found.need(new.manual_batch_tuning_parameters.batch_size <= 1000, f"{field}.batch_size", "is too large")
        found.done()
        version = find_version(self.state, new.model)
        job = self._add("batchPredictionJobs", request.parent, new, self.state.settings.batch_job)
        job.model, job.model_version_id = version.name, version.version_id
        directory = f"{prefix.rstrip('/')}/prediction-{job.display_name}-{job.create_time.ToJsonString()}"
        job.output_info.gcs_output_directory = directory
        return job

    def _add(self, kind: str, parent: str, message: Any, plan: dict[str, Any]) -> Any:
        name = f"{access.place_of(parent)}/{kind}/{self.state.new_id()}"
        new = self.state.table(kind)[name] = made(message, name, state=JobState.JOB_STATE_PENDING)
        self.state.table("plans")[name] = dict(plan)
        return new

    def _advance(self, now: float) -> None:
        for kind in ("customJobs", "batchPredictionJobs"):
            for job in self.state.table(kind).values():
                if job.state not in _ENDED:
                    self._advance_job(job, self.state.table("plans")[job.name], now)

    def _advance_job(self, job: Any, plan: dict[str, Any], now: float) -> None:
        settings, replicas = self.state.settings, self.state.table("replicas").get(job.name)
        if job.state == JobState.JOB_STATE_CANCELLING:
            end = self.state.table("cancelled")[job.name] + settings.cancel_seconds
            if now >= end:
                _end(job, "CANCELLED", now, "CANCELED", 1)
            return
        began = job.create_time.ToMicroseconds() / 1e6 + settings.queue_seconds
        if now < began:
            return
        if job.state == JobState.JOB_STATE_PENDING:
            job.state = JobState.JOB_STATE_RUNNING
            stamp(job.start_time, began)
            if plan.get("run"):
                replicas = self.state.table("replicas")[job.name] = Replicas(job, plan, self.state.folder)
        if replicas:
            result = replicas.result(now)
            if result is not None:
                _end(job, "FAILED" if result else "SUCCEEDED", now, result)
            return
        end = settings.end(began, plan.get("seconds", settings.job_seconds))
        if not settings.hold and now >= end:
            failed = plan.get("outcome") == "FAILED"
            _end(job, "FAILED" if failed else "SUCCEEDED", end, plan.get("message", _FAILED) if failed else "")


def _end(job: Any, state: str, now: float, error: str, code: int = 9) -> None:
    job.state = JobState[f"JOB_STATE_{state}"]
    if error:
        job.error.code, job.error.message = code, error
    stamp(job.end_time, now)
    stamp(job.update_time, now)


def _uses(spec: Any) -> Counter[str]:
    """What a job needs of each quota."""
    used: Counter[str] = Counter()
    for pool in spec.worker_pool_specs:
        spot = spec.scheduling.strategy == Scheduling.Strategy.SPOT
        used.update(machine_types.uses(pool.machine_spec, pool.replica_count, spot))
    return used


def _check_spec(state: State, found: Found, spec: Any, field: str) -> None:
    pools = spec.worker_pool_specs
    found.need(1 <= len(pools) <= 4, f"{field}.worker_pool_specs", f"has {len(pools)} pools, expected 1 to 4")
    for index, pool in enumerate(pools):
        _check_pool(found, pool, index, f"{field}.worker_pool_specs[{index}]")
    if any(machine_types.is_tpu(pool.machine_spec.machine_type) for pool in pools):
        found.need(len(pools) == 1, f"{field}.worker_pool_specs", f"{len(pools)} pools, a TPU job has one")
    checks.common(found, spec, field)
    uri = spec.base_output_directory.output_uri_prefix
    if spec.HasField("base_output_directory"):
        checks.gs(found, state, uri, f"{field}.base_output_directory.output_uri_prefix")
    if spec.tensorboard:
        needed = "is missing, which a job with a tensorboard needs"
        found.need(spec.service_account, f"{field}.service_account", needed)
        found.need(uri, f"{field}.base_output_directory", needed)
    seconds = spec.scheduling.timeout.ToMilliseconds() / 1000
    fine = 0 <= seconds <= _LONGEST_SECONDS
    found.need(fine, f"{field}.scheduling.timeout", f"{seconds:g}s is not within 0 and {_LONGEST_SECONDS}s")


def _check_pool(found: Found, pool: Any, index: int, field: str) -> None:
    found.need(pool.container_spec.image_uri, f"{field}.container_spec.image_uri", "is missing")
    for variable in pool.container_spec.env:
        found.need(variable.name, f"{field}.container_spec.env", "a variable has no name")
    replicas, machine = pool.replica_count, pool.machine_spec
    alone = index == 0 or machine_types.is_tpu(machine.machine_type)
    wanted = "1" if alone else "at least 1"
    found.need(
        replicas == 1 or (replicas > 1 and not alone), f"{field}.replica_count", f"{replicas}, expected {wanted}"
    )
    machine_types.check(found, machine, f"{field}.machine_spec")
    size = pool.disk_spec.boot_disk_size_gb
    fine = size == 0 or 100 <= size <= 64000
    found.need(fine, f"{field}.disk_spec.boot_disk_size_gb", f"{size} is not within 100 and 64000")
