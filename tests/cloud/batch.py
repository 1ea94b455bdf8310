"""Batch predictions of google.cloud.aiplatform.v1.JobService."""

import time
from typing import Any

import access
import checks
import machine_types
from errors import ApiError, Found, not_found, number
from google.cloud.aiplatform_v1.types import JobState
from listing import page
from messages import copy, pb, stamp
from messages import made as created
from models import find_version
from rpc import Service
from state import State

_ENDED = (JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED)
_IN = ("jsonl", "csv", "tf-record", "tf-record-gzip", "file-list", "bigquery")
_OUT = ("jsonl", "csv", "bigquery")


class BatchPredictionJobs(Service):
    """Batch predictions; the server computes none, it only writes an empty file of results."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance_batch)

    def create_batch_prediction_job(self, request: Any) -> Any:
        new, found = copy(request.batch_prediction_job), Found()
        field = "batch_prediction_job"
        checks.display_name(found, new.display_name, f"{field}.display_name")
        checks.labels(found, new.labels, f"{field}.labels")
        checks.account(found, new.service_account, f"{field}.service_account")
        self._check_paths(found, new, field)
        resources = new.dedicated_resources
        if new.HasField("dedicated_resources"):
            machine_types.check_serving(found, resources.machine_spec, f"{field}.dedicated_resources.machine_spec")
            count = resources.starting_replica_count
            found.need(count >= 0, f"{field}.dedicated_resources.starting_replica_count", f"{count} is negative")
        found.need(new.model, f"{field}.model", "is missing")
        found.done()
        version = find_version(self.state, new.model)
        if not new.HasField("dedicated_resources"):
            raise ApiError("INVALID_ARGUMENT", f"{field}.dedicated_resources: missing, a custom model needs them")
        new.model, new.model_version_id = version.name, version.version_id
        new.name = f"{access.place_of(request.parent)}/batchPredictionJobs/{self.state.new_id()}"
        new.state = JobState.JOB_STATE_PENDING
        created(new)
        self.state.table("batchPredictionJobs")[new.name] = {
            "message": new,
            "plan": dict(self.state.settings.batch_job),
            "cancelled": None,
        }
        return new

    def get_batch_prediction_job(self, request: Any) -> Any:
        return self._batch_job(request.name)["message"]

    def list_batch_prediction_jobs(self, request: Any) -> Any:
        place, table = access.place_of(request.parent), self.state.table("batchPredictionJobs")
        shown, token = page(request, [job["message"] for name, job in table.items() if name.startswith(f"{place}/")])
        return pb.ListBatchPredictionJobsResponse(batch_prediction_jobs=shown, next_page_token=token)

    def cancel_batch_prediction_job(self, request: Any) -> None:
        job = self._batch_job(request.name)
        if job["message"].state in _ENDED:
            raise ApiError("FAILED_PRECONDITION", f'The BatchPredictionJob "{request.name}" has ended already.')
        job["message"].state, job["cancelled"] = JobState.JOB_STATE_CANCELLING, time.time()

    def delete_batch_prediction_job(self, request: Any) -> Any:
        job = self._batch_job(request.name)["message"]
        if job.state not in _ENDED:
            raise ApiError("FAILED_PRECONDITION", f'The BatchPredictionJob "{job.name}" is running; cancel it first.')

        def delete() -> None:
            self.state.table("batchPredictionJobs").pop(job.name, None)

        return self.state.start("DeleteBatchPredictionJob", job.name, pb.DeleteOperationMetadata(), delete)

    def _batch_job(self, name: str) -> dict[str, Any]:
        job = self.state.table("batchPredictionJobs").get(access.canonical(name))
        if job is None:
            raise not_found("BatchPredictionJob", name)
        return job

    def _check_paths(self, found: Found, job: Any, field: str) -> None:
        source, target = job.input_config, job.output_config
        formats = source.instances_format, target.predictions_format
        found.need(formats[0] in _IN, f"{field}.input_config.instances_format", f"'{formats[0]}' is no format")
        found.need(formats[1] in _OUT, f"{field}.output_config.predictions_format", f"'{formats[1]}' is no format")
        here = f"{field}.input_config.gcs_source.uris"
        found.need(source.gcs_source.uris, here, "is empty")
        for uri in source.gcs_source.uris:
            if place := checks.gs(found, self.state, uri, here):
                prefix = place[1].partition("*")[0]
                found.need(checks.objects(self.state, place[0], prefix), here, f"'{uri}' matches no object")
        prefix = target.gcs_destination.output_uri_prefix
        checks.gs(found, self.state, prefix, f"{field}.output_config.gcs_destination.output_uri_prefix")

    def _advance_batch(self, now: float) -> None:
        settings = self.state.settings
        for job in self.state.table("batchPredictionJobs").values():
            message, plan = job["message"], job["plan"]
            began = message.create_time.ToMicroseconds() / 1e6 + settings.queue_seconds
            if message.state in _ENDED or now < began:
                continue
            if job["cancelled"] is not None:
                if now >= job["cancelled"] + settings.cancel_seconds:
                    _end(message, JobState.JOB_STATE_CANCELLED, now)
                continue
            message.state = JobState.JOB_STATE_RUNNING
            stamp(message.start_time, began)
            end = settings.end(began, plan.get("seconds", settings.job_seconds))
            if settings.hold or now < end:
                continue
            outcome = plan.get("outcome", "SUCCEEDED")
            if outcome == "SUCCEEDED":
                self._write(message)
            else:
                message.error.message = plan.get("message", "Internal error encountered.")
                message.error.code = number(plan.get("code", "INTERNAL"))
            _end(message, JobState[f"JOB_STATE_{outcome}"], end)

    def _write(self, job: Any) -> None:
        prefix = job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        directory = f"{prefix}/prediction-{job.display_name}-{job.create_time.ToJsonString()}"
        job.output_info.gcs_output_directory = directory
        folder = self.state.folder / "buckets" / directory.removeprefix("gs://")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"prediction.results-00000-of-00001.{job.output_config.predictions_format}").write_text("")


def _end(job: Any, state: int, now: float) -> None:
    job.state = state
    stamp(job.end_time, now)
    stamp(job.update_time, now)
