"""The command `submit --kubeflow`."""

import yaml

from components.common.errors import InputError
from pipeline.experiment.experiment import Experiment
from pipeline.graph.compile import compile_experiment, read_compiled
from pipeline.kubeflow.client import check_address
from pipeline.kubeflow.follow import follow
from pipeline.kubeflow.submit import submit_kubeflow
from pipeline.terminal import tables
from pipeline.vertex.follow import JobFailedError
from pipeline.vertex.request import check_artifacts, check_data, check_images, check_parameters


def submit_to_kubeflow(
    experiment: Experiment,
    host: str,
    namespace: str | None,
    run: str,
    values: dict[str, object],
    *,
    wait: bool,
    fail_fast: bool,
    dry_run: bool,
    moving_tags: bool,
) -> None:
    """Compile an experiment for Kubeflow, check it, and submit it under the name `run`, or print what would be sent.

    Raises:
        InputError: The pipeline would fail, or the service refuses it.
        SystemExit: The run that was followed failed. The exit code is 1.
    """
    if fail_fast and not wait:
        raise InputError(
            "--fail-fast: Kubeflow goes on with what doesn't need a failed task; with --wait it is ended here"
        )
    check_address(host)
    check_data(experiment, ("gs://",))
    path, digest = compile_experiment(experiment, target="kubeflow")
    spec = read_compiled(path)
    values = {"pipeline_sha256": digest, **values}
    check_artifacts(spec, "Kubeflow")
    check_images(spec, moving_tags)
    check_parameters(spec, values)
    name = experiment.name.replace("_", "-")
    if dry_run:
        request: dict[str, object] = {"host": host, "namespace": namespace, "pipeline": name, "version": run}
        request |= {"experiment": name, "run": run, "parameters": values}
        request["pipeline_spec"] = f"{path}, SHA-256 {digest}"
        print(yaml.safe_dump(request, sort_keys=False, width=110), end="")
        print("nothing was sent")
    else:
        client, run_id = submit_kubeflow(path, host, name, run, values, namespace)
        page = f"{host.rstrip('/')}/#/runs/details/{run_id}"
        print(f"started {run}\n{page}")
    if not experiment.kubeflow.claim:
        print("note: kubeflow.claim isn't set: a checkpoint goes with its pod", flush=True)
    if not (values.get("registry") or experiment.kubeflow.registry_folder):
        print("note: neither kubeflow.registry nor kubeflow.claim is set: no model is registered", flush=True)
    if dry_run or not wait:
        return
    try:
        follow(client, run_id, list(spec["root"]["dag"]["tasks"]), tables.console(), fail_fast)
    except KeyboardInterrupt:
        print(f"\nno longer following; the run goes on: {page}", flush=True)
        raise
    except JobFailedError as error:
        print(f"error: {error}\n{page} shows what the tasks printed")
        raise SystemExit(1) from None
    except InputError as error:
        raise InputError(f"Kubeflow at {host} {error}") from None
