"""Submit a compiled pipeline to Kubeflow Pipelines: all of it, or nothing is left there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.files import sha256
from pipeline.kubeflow.client import connect, token
from pipeline.kubeflow.errors import say


class _LostError(InputError):
    """It isn't known whether something was made."""


def submit_kubeflow(
    path: Path, host: str, name: str, run: str, parameters: dict[str, Any], namespace: str | None
) -> tuple[Any, str]:
    """Upload a compiled pipeline as a new version and start a run of it.

    Args:
        path: The file, compiled for the target kubeflow.
        host: Address of the service, such as http://localhost:8080.
        name: Name of the pipeline and of the experiment that the run is part of.
        run: Name of the version and of the run.
        parameters: For the pipeline, checked.
        namespace: Of a Kubeflow with several users.

    Returns:
        A client of the service, and the run's id.

    Raises:
        InputError: The service can't be reached or refuses it; nothing half-made is left there, or it's named.
    """
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    secret = token()
    undo: list[tuple[str, Callable[[], object]]] = []
    try:
        client = connect(host, secret, namespace)
        return client, _start(client, path, name, run, parameters, namespace, undo)
    except BaseException as error:
        left = _take_back(undo)
        if not isinstance(error, (ApiException, HTTPError, OSError, ValueError, InputError)):
            raise
        raise InputError(f"Kubeflow at {host} {say(error, run)}{left}") from None


def _start(
    client: Any,  # noqa: ANN401 (a kfp_server_api.ApiClient)
    path: Path,
    name: str,
    run: str,
    parameters: dict[str, Any],
    namespace: str | None,
    undo: list[tuple[str, Callable[[], object]]],
) -> str:
    """Make the pipeline or a version of it, the experiment and the run; into `undo` goes what takes each back."""
    import kfp_server_api as api

    stored, upload = api.PipelineServiceApi(client), api.PipelineUploadServiceApi(client)
    groups, started = api.ExperimentServiceApi(client), api.RunServiceApi(client)

    def pipelines() -> list[Any]:
        return stored.pipeline_service_list_pipelines(filter=_named(name), namespace=namespace).pipelines or []

    def versions(called: str) -> list[Any]:
        found = stored.pipeline_service_list_pipeline_versions(pipeline, filter=_named(called))
        return found.pipeline_versions or []

    def experiments() -> list[Any]:
        found = groups.experiment_service_list_experiments(filter=_named(name), namespace=namespace)
        return found.experiments or []

    def runs() -> list[Any]:
        found = started.run_service_list_runs(experiment_id=group, filter=_named(run)).runs or []
        return [one for one in found if one.pipeline_version_reference.pipeline_version_id == version]

    # Tells what is made here from what somebody else makes at the same time, or made before.
    mark = f"submitted as {run}, SHA-256 {sha256([path])}"
    if found := pipelines():
        pipeline = _known(found[0].pipeline_id)
        made = _make(
            f"the version {run}",
            lambda: upload.upload_pipeline_version(str(path), name=run, pipelineid=pipeline, description=mark),
            lambda: [one for one in versions(run) if one.description == mark],
        )
        version = _known(made.pipeline_version_id)
        undo.append((f"the version {run}", lambda: stored.pipeline_service_delete_pipeline_version(pipeline, version)))
    else:
        made = _make(
            f"the pipeline {name}",
            lambda: upload.upload_pipeline(str(path), name=name, description=mark, namespace=namespace),
            lambda: [one for one in pipelines() if one.description == mark],
        )
        pipeline = _known(made.pipeline_id)
        undo.append((f"the pipeline {name}", lambda: _remove_pipeline(stored, pipeline, versions(name))))
        version = _known(next((one.pipeline_version_id for one in versions(name)), None))
    if found := experiments():
        group = _known(found[0].experiment_id)
    else:
        experiment = api.V2beta1Experiment(display_name=name, namespace=namespace)
        create = lambda: groups.experiment_service_create_experiment(experiment)  # noqa: E731
        group = _known(_make(f"the experiment {name}", create, experiments).experiment_id)
        undo.append((f"the experiment {name}", lambda: groups.experiment_service_delete_experiment(group)))
    body = api.V2beta1Run(
        experiment_id=group,
        display_name=run,
        pipeline_version_reference=api.V2beta1PipelineVersionReference(pipeline, version),
        runtime_config=api.V2beta1RuntimeConfig(parameters=parameters),
    )
    try:
        return _known(_make(f"the run {run}", lambda: started.run_service_create_run(body), runs).run_id)
    except _LostError:
        # Nothing is taken away from a run that may be there.
        undo.clear()
        raise


def _make(what: str, action: Callable[[], Any], look: Callable[[], list[Any]]) -> Any:  # noqa: ANN401 (what was made)
    """Make something; where the answer is lost, look whether it's there."""
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return action()
    except (ApiException, HTTPError, OSError) as error:
        if isinstance(error, ApiException) and error.status < 500:
            raise
        try:
            found = look()
        except (ApiException, HTTPError, OSError):
            raise _LostError(f"was lost while it made {what}: see whether it's there, before another try") from None
        if not found:
            raise
        return found[0]


def _named(name: str) -> str:
    """A filter, as Kubeflow's API takes it."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _known(made: str | None) -> str:
    if not made:
        raise InputError("answers without an id, not as Kubeflow Pipelines does")
    return made


def _remove_pipeline(stored: Any, pipeline: str, versions: list[Any]) -> None:  # noqa: ANN401 (a PipelineServiceApi)
    """Delete a pipeline that was just made; Kubeflow keeps it if others have added versions to it."""
    for version in versions:
        stored.pipeline_service_delete_pipeline_version(pipeline, version.pipeline_version_id)
    stored.pipeline_service_delete_pipeline(pipeline)


def _take_back(undo: list[tuple[str, Callable[[], object]]]) -> str:
    """Take back what was made for a run that didn't start, the newest first; says what is still there."""
    from kfp_server_api.exceptions import OpenApiException
    from urllib3.exceptions import HTTPError

    left = []
    for what, action in reversed(undo):
        try:
            action()
        except (OpenApiException, HTTPError, OSError, InputError):
            left.append(what)
    return f"; still there: {', '.join(left)}" if left else ""
