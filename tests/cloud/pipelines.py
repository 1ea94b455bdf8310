"""google.cloud.aiplatform.v1.PipelineService."""

import re
import time
from typing import Any

import access
import checks
import parameters
import spec as specs
from errors import ApiError, Found, exceeded
from google.cloud.aiplatform_v1.types import PipelineState
from google.protobuf.json_format import MessageToDict
from messages import made
from pipeline_run import ENDED, Run
from rpc import Service, getting, listing
from state import NUMBER, State

_JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")


def check_job(state: State, found: Found, job: Any, field: str = "pipeline_job") -> dict[str, Any]:
    """Hold a pipeline job against what Vertex AI demands of it, whether it's to run now or on a schedule.

    Returns:
        Its spec, as compiled.
    """
    checks.common(found, job, field, named=field == "pipeline_job")
    runtime = job.runtime_config
    checks.gs(found, state, runtime.gcs_output_directory, f"{field}.runtime_config.gcs_output_directory")
    spec = MessageToDict(job.pipeline_spec)
    specs.check(found, spec, f"{field}.pipeline_spec")
    values = {name: MessageToDict(value) for name, value in runtime.parameter_values.items()}
    for problem in parameters.problems(spec, values):
        found.add(f"{field}.runtime_config.parameter_values", problem)
    return spec


class PipelineService(Service):
    """Pipeline jobs."""

    get_pipeline_job, list_pipeline_jobs = getting("pipelineJobs"), listing("pipelineJobs")

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance)

    def create_pipeline_job(self, request: Any) -> Any:
        found, state, job_id = Found(), self.state, request.pipeline_job_id
        found.need(_JOB_ID.fullmatch(job_id), "pipeline_job_id", f"'{job_id}' does not match {_JOB_ID.pattern}")
        spec = check_job(state, found, request.pipeline_job)
        found.done()
        if short := [name for name, need in specs.gpus(spec).items() if need > state.settings.quota.get(name, need)]:
            raise exceeded(short)
        name = f"{access.place_of(request.parent)}/pipelineJobs/{job_id}"
        if name in state.table("pipelineJobs"):
            raise ApiError("ALREADY_EXISTS", "Requested entity already exists")
        job = made(request.pipeline_job, name, state=PipelineState.PIPELINE_STATE_PENDING)
        job.service_account = job.service_account or f"{NUMBER}-compute@developer.gserviceaccount.com"
        # Google adds it to the labels of each job.
        job.labels["vertex-ai-pipelines-run-billing-id"] = state.new_id()
        state.table("runs")[name] = Run(state, job, spec, dict(state.settings.tasks))
        return state.table("pipelineJobs").setdefault(name, job)

    def cancel_pipeline_job(self, request: Any) -> None:
        job = self.get_pipeline_job(request)
        if job.state in ENDED:
            raise ApiError("FAILED_PRECONDITION", f'The PipelineJob "{job.name}" has ended already.')
        self.state.table("runs")[job.name].cancel(time.time())

    def _advance(self, now: float) -> None:
        for run in self.state.table("runs").values():
            run.advance(now)
