"""google.cloud.aiplatform.v1.PipelineService."""

import re
import time
from typing import Any

import access
import checks
import spec as specs
from errors import ApiError, Found, already_exists, exceeded
from google.cloud.aiplatform_v1.types import PipelineState
from google.protobuf.json_format import MessageToDict
from listing import page
from messages import copy, pb
from messages import made as created
from pipeline_run import ENDED, Run
from rpc import Service
from state import NUMBER, State

_JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
# Google adds it to the labels of each job.
_BILLING = "vertex-ai-pipelines-run-billing-id"


def check_job(state: State, found: Found, job: Any, field: str = "pipeline_job") -> dict[str, Any]:
    """Hold a pipeline job against what Vertex AI demands of it, whether it's to run now or on a schedule.

    Returns:
        Its spec, as compiled.
    """
    if job.display_name or field == "pipeline_job":
        # The SDK leaves it out of a schedule's.
        checks.display_name(found, job.display_name, f"{field}.display_name")
    checks.labels(found, job.labels, f"{field}.labels")
    checks.account(found, job.service_account, f"{field}.service_account")
    checks.network(found, job.network, f"{field}.network")
    runtime = job.runtime_config
    checks.gs(found, state, runtime.gcs_output_directory, f"{field}.runtime_config.gcs_output_directory")
    spec = MessageToDict(job.pipeline_spec)
    if not found.need(spec, f"{field}.pipeline_spec", "is missing"):
        return spec
    specs.check(found, spec, f"{field}.pipeline_spec")
    values = {name: MessageToDict(value) for name, value in runtime.parameter_values.items()}
    specs.check_values(found, spec, values, f"{field}.runtime_config.parameter_values")
    return spec


def create_job(state: State, parent: str, job: Any, job_id: str) -> Any:
    """Make a pipeline job.

    Raises:
        ApiError: It's refused.
    """
    found = Found()
    fine = not job_id or _JOB_ID.fullmatch(job_id)
    found.need(fine, "pipeline_job_id", f"'{job_id}' does not match {_JOB_ID.pattern}")
    spec = check_job(state, found, job)
    found.done()
    short = [name for name, need in specs.gpus(spec).items() if need > state.settings.quota.get(name, need)]
    if short:
        raise exceeded(short)
    job_id = job_id or f"{spec['pipelineInfo']['name']}-{state.new_id()}"[:128]
    name = f"{access.place_of(parent)}/pipelineJobs/{job_id}"
    if name in state.table("pipelineJobs"):
        raise already_exists()
    new = copy(job)
    new.name, new.state = name, PipelineState.PIPELINE_STATE_PENDING
    new.service_account = new.service_account or f"{NUMBER}-compute@developer.gserviceaccount.com"
    new.labels[_BILLING] = state.new_id()
    now = time.time()
    created(new, now)
    plans = {name: dict(plan) for name, plan in state.settings.tasks.items()}
    state.table("pipelineJobs")[name] = Run(state, new, spec, now, plans)
    return new


class PipelineService(Service):
    """Pipeline jobs."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.advancers.append(self._advance)

    def create_pipeline_job(self, request: Any) -> Any:
        return create_job(self.state, request.parent, request.pipeline_job, request.pipeline_job_id)

    def get_pipeline_job(self, request: Any) -> Any:
        return access.find(self.state, "pipelineJobs", request.name).job

    def list_pipeline_jobs(self, request: Any) -> Any:
        runs = access.below(self.state, request.parent, "pipelineJobs")
        shown, token = page(request, [run.job for run in runs])
        return pb.ListPipelineJobsResponse(pipeline_jobs=shown, next_page_token=token)

    def cancel_pipeline_job(self, request: Any) -> None:
        run = access.find(self.state, "pipelineJobs", request.name)
        if run.job.state in ENDED:
            raise ApiError(
                "FAILED_PRECONDITION", f'The PipelineJob "{run.job.name}" has ended already and can\'t be cancelled.'
            )
        if run.cancelled is None:
            run.cancel(time.time())

    def _advance(self, now: float) -> None:
        for run in self.state.table("pipelineJobs").values():
            run.advance(now)
