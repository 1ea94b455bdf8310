"""Submit a compiled pipeline to Kubeflow Pipelines."""

import os
from pathlib import Path
from typing import Any

from components.errors import InputError

# A bearer token for a Kubeflow behind an identity-aware proxy or with several users.
TOKEN = "KUBEFLOW_TOKEN"  # noqa: S105 (a variable's name)


def submit_kubeflow(
    path: Path, host: str, experiment: str, run: str, parameters: dict[str, Any], namespace: str | None
) -> str:
    """Upload a compiled pipeline as a new version and start a run of it.

    Args:
        path: The file, compiled for the target kubeflow.
        host: Address of the service, such as http://localhost:8080.
        experiment: Name of the pipeline and of the experiment that the run is part of.
        run: Name of the version and of the run.
        parameters: For the pipeline.
        namespace: Of a Kubeflow with several users.

    Returns:
        A line with the run's address.

    Raises:
        InputError: The service can't be reached or refuses it; nothing half-made is left there.
    """
    import kfp
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    if not host.startswith(("http://", "https://")):
        raise InputError(f"--kubeflow {host}: expected an address such as http://localhost:8080")
    name = experiment.replace("_", "-")
    client, version, pipeline, fresh = None, None, None, False
    try:
        client = kfp.Client(host=host, existing_token=os.environ.get(TOKEN), namespace=namespace or "kubeflow")
        pipeline = client.get_pipeline_id(name)
        fresh = pipeline is None
        if fresh:
            uploaded = client.upload_pipeline(str(path), pipeline_name=name, namespace=namespace)
            pipeline = uploaded.pipeline_id
            versions = client.list_pipeline_versions(pipeline, page_size=1).pipeline_versions
            version = versions[0].pipeline_version_id
        else:
            uploaded = client.upload_pipeline_version(str(path), pipeline_version_name=run, pipeline_id=pipeline)
            version = uploaded.pipeline_version_id
        group = client.create_experiment(name, namespace=namespace)
        started = client.run_pipeline(
            group.experiment_id, run, params=parameters, pipeline_id=pipeline, version_id=version, enable_caching=True
        )
    except ApiException as error:
        _remove(client, pipeline, version, fresh)
        said = " ".join(str(error.body or error.reason).split())
        hint = f"; {TOKEN} holds the token" if error.status in (401, 403) else ""
        raise InputError(f"Kubeflow at {host} refuses {run}: {error.status} {said}{hint}") from None
    except (HTTPError, OSError) as error:
        raise InputError(f"Kubeflow at {host} can't be reached: {' '.join(str(error).split())}") from None
    return f"started {run}\n{host.rstrip('/')}/#/runs/details/{started.run_id}"


def _remove(client: Any, pipeline: str | None, version: str | None, fresh: bool) -> None:  # noqa: ANN401
    """Take back what was uploaded for a run that was refused."""
    from kfp_server_api.exceptions import ApiException

    if client is None or pipeline is None or version is None:
        return
    try:
        client.delete_pipeline_version(pipeline, version)
        if fresh:
            client.delete_pipeline(pipeline)
    except ApiException as error:
        print(f"note: the pipeline version {version} is still there: {error.reason}")
