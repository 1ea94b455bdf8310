"""Train on a machine that a task of a Vertex pipeline can't have itself: in a CustomJob, which the task follows.

The job's name is made of the run's and the task's, and of the trial's where a search trains. A second try of the task
looks for it and follows the job that is there, so that no try starts a second training.
"""

import hashlib
import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.files import gs
from components.vertex.client import CALL_SECONDS, Vertex, client, explain, named, polls, until
from components.vertex.placement import TPU_ENVIRONMENT, Placement, Pool

POLL_SECONDS = 10.0
# Of a display name on Vertex AI.
MAX_NAME = 128
# Of each job: which run launched it. A label has 63 letters at most, a run's name 128, so it is a digest.
RUN_LABEL = "launched-by"
# Runs what the task would run itself.
COMMAND = ["python3", "-m", "components.train"]
_TASK = re.compile(r"_-?\d+$")


class JobFailedError(RuntimeError):
    """A job failed, was cancelled or expired; the message says why."""


def launch(placement: Placement, vertex: Vertex, arguments: dict[str, Any], folder: str) -> None:
    """Run `components.train.train.train` in a CustomJob and wait for its end.

    Args:
        placement: What the job's workers are.
        vertex: Where it runs.
        arguments: Of `train`, JSON values; paths under /gcs, which is mounted in the job too.
        folder: The model folder that the job writes, under /gcs.

    Raises:
        InputError: The job is refused: a permission, a quota, a machine.
        RuntimeError: The job failed, or was cancelled; it says why.
        SystemExit: SIGTERM came, and the job was cancelled: 143.
    """
    with until(signal.SIGTERM) as stopped:
        run(job_name(folder), placement, vertex, arguments, Path(folder).parent / "job", stopped)


def run(
    name: str,
    placement: Placement,
    vertex: Vertex,
    arguments: dict[str, Any],
    output: Path,
    stopped: threading.Event,
) -> None:
    """Run `components.train.train.train` in the CustomJob of a name and wait for its end, in any thread.

    Args:
        name: The job's: one that is there already is followed, unless it failed.
        placement: What its workers are.
        vertex: Where it runs.
        arguments: Of `train`.
        output: Folder of what Vertex writes for the job, <run>/<task>/<folder> under /gcs.
        stopped: Once it is set, the job is cancelled.

    Raises:
        InputError: The job is refused.
        JobFailedError: The job failed, or was cancelled by someone else.
        RuntimeError: Nobody knows whether it was started; another try finds it.
        SystemExit: `stopped` was set, and the job was cancelled: 143.
    """
    from google.cloud.aiplatform_v1 import JobServiceClient, JobState

    jobs = client(JobServiceClient, vertex.region)
    job = _start(jobs, name, placement, vertex, arguments, output)
    print(console(job.name, vertex), flush=True)
    job = _follow(jobs, job, name, stopped)
    if job.state != JobState.JOB_STATE_SUCCEEDED:
        raise JobFailedError(f"{job.name} {_said(job.state)}: {job.error.message or 'without a reason'}")


def _start(
    jobs: Any,  # noqa: ANN401 (a client)
    name: str,
    placement: Placement,
    vertex: Vertex,
    arguments: dict[str, Any],
    output: Path,
) -> Any:  # noqa: ANN401 (a CustomJob)
    """The job of an earlier try, or a new one."""
    from google.api_core import exceptions

    try:
        if (job := _running(jobs, vertex, name)) is not None:
            print(f"{name}: following {job.name}, which is there already", flush=True)
            return job
        new = _job(name, placement, vertex, arguments, output)
        job = jobs.create_custom_job(parent=vertex.parent, custom_job=new, timeout=CALL_SECONDS)
    except exceptions.ServerError as error:
        raise RuntimeError(explain(error, name)) from None
    except exceptions.GoogleAPICallError as error:
        raise InputError(explain(error, name)) from None
    print(f"{name}: started {job.name}", flush=True)
    return job


def job_name(folder: str, trial: int | None = None) -> str:
    """The name of a task's job: the run's and the task's, which Vertex writes into the path of its output.

    An argument with the run's name would make each run another one to the cache.

    Args:
        folder: .../<project number>/<run>/<task>_<number>/<output>.
        trial: The number of a search's trial, which has a job of its own.
    """
    task = Path(folder).parent
    name = f"{task.parent.name}-{_TASK.sub('', task.name)}{'' if trial is None else f'-trial-{trial}'}"
    if len(name) <= MAX_NAME:
        return name
    # Cut off, two tasks of a run would have one name, and one of them would follow the other's job.
    return f"{name[: MAX_NAME - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def run_label(run: str) -> str:
    """The value of `RUN_LABEL` for the jobs of a run."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def console(job: str, vertex: Vertex) -> str:
    """Address of a job's page in Google's console."""
    number = job.rsplit("/", 1)[-1]
    return (
        f"https://console.cloud.google.com/vertex-ai/locations/{vertex.region}/training/{number}"
        f"?project={vertex.project}"
    )


def _running(jobs: Any, vertex: Vertex, name: str) -> Any:  # noqa: ANN401 (a client; a CustomJob or None)
    """The task's job that runs or has succeeded already; None where there is none, or it failed."""
    from google.cloud.aiplatform_v1 import JobState

    over = (
        JobState.JOB_STATE_FAILED,
        JobState.JOB_STATE_CANCELLED,
        JobState.JOB_STATE_CANCELLING,
        JobState.JOB_STATE_EXPIRED,
    )
    return next((job for job in named(jobs.list_custom_jobs, vertex.parent, name) if job.state not in over), None)


def _job(name: str, placement: Placement, vertex: Vertex, arguments: dict[str, Any], output: Path) -> Any:  # noqa: ANN401 (a CustomJob)
    from google.cloud.aiplatform_v1 import types
    from google.protobuf.duration_pb2 import Duration

    container = {"image_uri": placement.image, "command": COMMAND, "args": [json.dumps(arguments)]}
    pools = [
        types.WorkerPoolSpec(
            machine_spec=types.MachineSpec(pool.machine),
            replica_count=pool.replicas,
            container_spec=types.ContainerSpec(
                container,
                env=[types.EnvVar(name=n, value=v) for n, v in TPU_ENVIRONMENT.items()] if _is_tpu(pool) else [],
            ),
            disk_spec=types.DiskSpec(boot_disk_size_gb=pool.disk_gb or 100),
        )
        for pool in placement.pools
    ]
    # Workers that are restarted one by one would wait for each other.
    scheduling = types.Scheduling(restart_job_on_worker_restart=placement.spot or len(pools) > 1)
    if placement.spot:
        scheduling.strategy = types.Scheduling.Strategy.SPOT
    if placement.max_wait_seconds:
        scheduling.strategy = types.Scheduling.Strategy.FLEX_START
        scheduling.max_wait_duration = Duration(seconds=placement.max_wait_seconds)
    if placement.timeout_seconds:
        scheduling.timeout = Duration(seconds=placement.timeout_seconds)
    spec = types.CustomJobSpec(
        worker_pool_specs=pools,
        scheduling=scheduling,
        service_account=vertex.service_account or "",
        tensorboard=vertex.tensorboard or "",
        base_output_directory=types.GcsDestination(output_uri_prefix=gs(output)),
        **vertex.job_network(),
    )
    labels = {**vertex.labels, RUN_LABEL: run_label(output.parent.parent.name)}
    return types.CustomJob(display_name=name, job_spec=spec, labels=labels, **vertex.encryption())


def _is_tpu(pool: Pool) -> bool:
    return "tpu_topology" in pool.machine


def _follow(jobs: Any, job: Any, name: str, stopped: threading.Event) -> Any:  # noqa: ANN401 (a client; a CustomJob)
    """Print each state of a job until its last; cancel it when this task is stopped."""
    from google.cloud.aiplatform_v1 import JobState

    last = (
        JobState.JOB_STATE_SUCCEEDED,
        JobState.JOB_STATE_FAILED,
        JobState.JOB_STATE_CANCELLED,
        JobState.JOB_STATE_EXPIRED,
    )

    def wait(seconds: float) -> None:
        if stopped.wait(seconds):
            jobs.cancel_custom_job(name=job.name, timeout=CALL_SECONDS)
            print(f"{name}: cancelled {job.name}", flush=True)
            raise SystemExit(128 + signal.SIGTERM)

    shown = None
    for job in polls(job, jobs.get_custom_job, POLL_SECONDS, wait):  # noqa: B020 (the newest is meant)
        if job.state != shown:
            print(f"{name}: {_said(job.state)}", flush=True)
            shown = job.state
        if job.state in last:
            break
    return job


def _said(state: Any) -> str:  # noqa: ANN401 (a JobState)
    return str(state.name).removeprefix("JOB_STATE_").lower()
