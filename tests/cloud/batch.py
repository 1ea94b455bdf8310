"""Batch predictions of google.cloud.aiplatform.v1.JobService."""

from typing import Any

import access
import checks
import machine_types
from errors import ApiError, Found, number
from google.cloud.aiplatform_v1.types import JobState
from messages import copy, made, stamp
from models import find_version
from rpc import Service
from state import State

_ENDED = (JobState.JOB_STATE_SUCCEEDED, JobState.JOB_STATE_FAILED)


class BatchPredictionJobs(Service):
    """Batch predictions; the server computes none, it only writes an empty file of results."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance_batch)

    def create_batch_prediction_job(self, request: Any) -> Any:
        new, found, field = copy(request.batch_prediction_job), Found(), "batch_prediction_job"
        checks.display_name(found, new.display_name, f"{field}.display_name")
        checks.labels(found, new.labels, f"{field}.labels")
        checks.account(found, new.service_account, f"{field}.service_account")
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
        machine_types.check_serving(found, resources.machine_spec, f"{field}.dedicated_resources.machine_spec")
        found.need(new.model, f"{field}.model", "is missing")
        found.done()
        version = find_version(self.state, new.model)
        new.model, new.model_version_id = version.name, version.version_id
        new.name = f"{access.place_of(request.parent)}/batchPredictionJobs/{self.state.new_id()}"
        new.state = JobState.JOB_STATE_PENDING
        made(new)
        self.state.table("batchPredictionJobs")[new.name] = new, dict(self.state.settings.batch_job)
        return new

    def get_batch_prediction_job(self, request: Any) -> Any:
        return access.find(self.state, "batchPredictionJobs", request.name)[0]

    def _advance_batch(self, now: float) -> None:
        settings = self.state.settings
        for job, plan in self.state.table("batchPredictionJobs").values():
            began = job.create_time.ToMicroseconds() / 1e6 + settings.queue_seconds
            if job.state in _ENDED or now < began:
                continue
            job.state = JobState.JOB_STATE_RUNNING
            stamp(job.start_time, began)
            end = settings.end(began, plan.get("seconds", settings.job_seconds))
            if settings.hold or now < end:
                continue
            if plan.get("outcome", "SUCCEEDED") == "SUCCEEDED":
                self._write(job)
                job.state = JobState.JOB_STATE_SUCCEEDED
            else:
                error = ApiError(plan.get("code", "INTERNAL"), plan.get("message", "Internal error encountered."))
                job.error.code, job.error.message = number(error.code), error.message
                job.state = JobState.JOB_STATE_FAILED
            stamp(job.end_time, end)
            stamp(job.update_time, end)

    def _write(self, job: Any) -> None:
        prefix = job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        directory = f"{prefix}/prediction-{job.display_name}-{job.create_time.ToJsonString()}"
        job.output_info.gcs_output_directory = directory
        folder = self.state.folder / "buckets" / directory.removeprefix("gs://")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prediction.results-00000-of-00001.jsonl").write_text("")
