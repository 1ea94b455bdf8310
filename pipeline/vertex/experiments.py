"""Add a pipeline job to a Vertex experiment, which is a context of the project's metadata store."""

import time

from google.api_core import exceptions
from google.cloud.aiplatform_v1 import MetadataServiceClient, PipelineJob, PipelineServiceClient, types

from components.common.errors import InputError
from components.vertex.client import CALL_SECONDS, client
from components.vertex.errors import asking
from pipeline.vertex.settings import Settings

# The schema of the SDK's aiplatform.Experiment, so that the console shows such contexts as experiments.
SCHEMA, SCHEMA_VERSION = "system.Experiment", "0.0.1"
RUN_CONTEXT_SECONDS = 60.0


def add_to_experiment(job: PipelineJob, experiment: str, settings: Settings) -> None:
    """Make a job's run a child of an experiment, which is created where there is none.

    Raises:
        InputError: The metadata can't be written. The job runs all the same.
    """
    metadata = client(MetadataServiceClient, settings.region)
    store = f"{settings.parent}/metadataStores/default"
    action = f"adding {job.name.rsplit('/', 1)[-1]} to the experiment {experiment} (the job runs all the same)"
    with asking(action):
        try:
            context = metadata.get_context(name=f"{store}/contexts/{experiment}", timeout=CALL_SECONDS)
        except exceptions.NotFound:
            context = metadata.create_context(
                parent=store,
                context=types.Context(
                    display_name=experiment,
                    schema_title=SCHEMA,
                    schema_version=SCHEMA_VERSION,
                    metadata={"experiment_deleted": False},
                ),
                context_id=experiment,
                timeout=CALL_SECONDS,
            )
        pipelines, waited = client(PipelineServiceClient, settings.region), 0.0
        # The context of the run appears a little later than the job.
        while not job.job_detail.pipeline_run_context.name:
            if waited > RUN_CONTEXT_SECONDS:
                raise InputError(f"{action}: it has no run context after {RUN_CONTEXT_SECONDS:.0f} s")
            time.sleep(1.0)
            waited += 1.0
            job = pipelines.get_pipeline_job(name=job.name, timeout=CALL_SECONDS)
        metadata.add_context_children(
            context=context.name, child_contexts=[job.job_detail.pipeline_run_context.name], timeout=CALL_SECONDS
        )
