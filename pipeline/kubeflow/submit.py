"""Submit a compiled pipeline to Kubeflow Pipelines. Where that fails, everything that was created is deleted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import kfp_server_api as api
from urllib3.exceptions import HTTPError

from components.common.errors import InputError
from components.common.files import sha256
from pipeline.kubeflow.client import connect, token
from pipeline.kubeflow.errors import error_line

Created = TypeVar("Created")
# A description, and the function that deletes what it describes.
Undo = tuple[str, Callable[[], object]]


class _LostError(InputError):
    """It isn't known whether something was created."""


def submit_kubeflow(
    path: Path, host: str, name: str, run: str, parameters: dict[str, object], namespace: str | None
) -> tuple[api.ApiClient, str]:
    """Upload a compiled pipeline as a new version, and start a run of it.

    Args:
        path: The file, compiled for the target kubeflow.
        host: The address of the service, such as http://localhost:8080.
        name: The name of the pipeline, and of the experiment that the run is part of.
        run: The name of the version and of the run.
        parameters: The checked values of the pipeline's parameters.
        namespace: The namespace, in a Kubeflow with several users.

    Returns:
        A client of the service, and the run's id.

    Raises:
        InputError: The service can't be reached, or it refuses the run. The message names whatever couldn't be deleted.
    """
    secret = token()
    undo: list[Undo] = []
    try:
        client = connect(host, secret, namespace)
        return client, _start(client, path, name, run, parameters, namespace, undo)
    except BaseException as error:
        remains = _undo(undo)
        if not isinstance(error, (api.ApiException, HTTPError, OSError, ValueError, InputError)):
            raise
        raise InputError(f"Kubeflow at {host} {error_line(error, run)}{remains}") from None


def _start(
    client: api.ApiClient,
    path: Path,
    name: str,
    run: str,
    parameters: dict[str, object],
    namespace: str | None,
    undo: list[Undo],
) -> str:
    """Create a pipeline or a version of it, the experiment and the run. What deletes each is added to `undo`."""
    pipeline_api, upload_api = api.PipelineServiceApi(client), api.PipelineUploadServiceApi(client)
    experiment_api, run_api = api.ExperimentServiceApi(client), api.RunServiceApi(client)

    def pipelines() -> list[api.V2beta1Pipeline]:
        return pipeline_api.pipeline_service_list_pipelines(filter=_by_name(name), namespace=namespace).pipelines or []

    def versions(version_name: str) -> list[api.V2beta1PipelineVersion]:
        page = pipeline_api.pipeline_service_list_pipeline_versions(pipeline, filter=_by_name(version_name))
        return page.pipeline_versions or []

    def experiments() -> list[api.V2beta1Experiment]:
        page = experiment_api.experiment_service_list_experiments(filter=_by_name(name), namespace=namespace)
        return page.experiments or []

    def runs() -> list[api.V2beta1Run]:
        page = run_api.run_service_list_runs(experiment_id=experiment_id, filter=_by_name(run))
        return [r for r in page.runs or [] if r.pipeline_version_reference.pipeline_version_id == version]

    # This description tells the objects of this submission from those of others with the same name.
    description = f"submitted as {run}, SHA-256 {sha256([path])}"
    if existing := pipelines():
        pipeline = _checked_id(existing[0].pipeline_id)
        new_version = _create(
            f"the version {run}",
            lambda: upload_api.upload_pipeline_version(
                str(path), name=run, pipelineid=pipeline, description=description
            ),
            lambda: [v for v in versions(run) if v.description == description],
        )
        version = _checked_id(new_version.pipeline_version_id)
        delete_version = pipeline_api.pipeline_service_delete_pipeline_version
        undo.append((f"the version {run}", lambda: delete_version(pipeline, version)))
    else:
        new_pipeline = _create(
            f"the pipeline {name}",
            lambda: upload_api.upload_pipeline(str(path), name=name, description=description, namespace=namespace),
            lambda: [p for p in pipelines() if p.description == description],
        )
        pipeline = _checked_id(new_pipeline.pipeline_id)
        undo.append((f"the pipeline {name}", lambda: _delete_pipeline(pipeline_api, pipeline, versions(name))))
        version = _checked_id(next((v.pipeline_version_id for v in versions(name)), None))
    if same_name := experiments():
        experiment_id = _checked_id(same_name[0].experiment_id)
    else:
        experiment = api.V2beta1Experiment(display_name=name, namespace=namespace)
        create = lambda: experiment_api.experiment_service_create_experiment(experiment)  # noqa: E731
        experiment_id = _checked_id(_create(f"the experiment {name}", create, experiments).experiment_id)
        delete_experiment = experiment_api.experiment_service_delete_experiment
        undo.append((f"the experiment {name}", lambda: delete_experiment(experiment_id)))
    body = api.V2beta1Run(
        experiment_id=experiment_id,
        display_name=run,
        pipeline_version_reference=api.V2beta1PipelineVersionReference(pipeline, version),
        runtime_config=api.V2beta1RuntimeConfig(parameters=parameters),
    )
    try:
        return _checked_id(_create(f"the run {run}", lambda: run_api.run_service_create_run(body), runs).run_id)
    except _LostError:
        # The run may exist, and needs everything that was created for it.
        undo.clear()
        raise


def _create(what: str, create: Callable[[], Created], find: Callable[[], list[Created]]) -> Created:
    """Create something. Where the answer gets lost, look whether it exists."""
    try:
        return create()
    except (api.ApiException, HTTPError, OSError) as error:
        if isinstance(error, api.ApiException) and error.status < 500:
            raise
        try:
            found = find()
        except (api.ApiException, HTTPError, OSError):
            raise _LostError(f"was lost while it made {what}: see whether it's there, before another try") from None
        if not found:
            raise
        return found[0]


def _by_name(name: str) -> str:
    """A filter of Kubeflow's API for a display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _checked_id(value: str | None) -> str:
    if not value:
        raise InputError("answers without an id, not as Kubeflow Pipelines does")
    return value


def _delete_pipeline(
    pipeline_api: api.PipelineServiceApi,
    pipeline: str,
    versions: list[api.V2beta1PipelineVersion],
) -> None:
    """Delete a new pipeline. Kubeflow keeps it where others have added versions to it."""
    for version in versions:
        pipeline_api.pipeline_service_delete_pipeline_version(pipeline, version.pipeline_version_id)
    pipeline_api.pipeline_service_delete_pipeline(pipeline)


def _undo(undo: list[Undo]) -> str:
    """Delete everything that was created for a run that didn't start, the newest first, and name what remains."""
    remaining = []
    for what, delete in reversed(undo):
        try:
            delete()
        except (api.OpenApiException, HTTPError, OSError, InputError):
            remaining.append(what)
    return f"; still there: {', '.join(remaining)}" if remaining else ""
