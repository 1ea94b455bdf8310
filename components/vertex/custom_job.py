"""Train in a CustomJob, on a machine that a task of a Vertex pipeline can't have itself. The task follows the job.

The job's name consists of the names of the run and the task, and of the trial's number where a search trains. A second
try of the task finds the job by this name and follows it, so that no second training is started.
"""

import hashlib
import json
import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.errors import InputError
from components.common.files import gs
from components.vertex.client import CALL_SECONDS, Vertex, client, list_by_name, poll, signal_event
from components.vertex.errors import error_line
from components.vertex.placement import TPU_ENVIRONMENT, Placement

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import CustomJob, JobServiceClient, JobState

POLL_SECONDS = 10.0
# The longest display name on Vertex AI.
MAX_NAME = 128
# The label of a job with the digest of the run that launched it. A label has at most 63 letters, a run's name 128.
RUN_LABEL = "launched-by"
# The command of a job, which trains as the task itself would.
COMMAND = ["python3", "-m", "components.train"]
# The states in which a job has ended without a model.
_FAILED = ("failed", "cancelled", "expired")
_UNSUCCESSFUL = (*_FAILED, "cancelling")
_TASK = re.compile(r"_-?\d+$")


class JobFailedError(RuntimeError):
    """A job failed, was cancelled or expired. The message gives the reason."""


def launch(placement: Placement, vertex: Vertex, arguments: dict[str, object], folder: str) -> None:
    """Train in a task's CustomJob, as `run_job` does. SIGTERM cancels it.

    The job writes the model's folder, which is under /gcs.
    """
    with signal_event(signal.SIGTERM) as stop:
        run_job(job_name(folder), placement, vertex, arguments, Path(folder).parent / "job", stop)


def run_job(
    name: str,
    placement: Placement,
    vertex: Vertex,
    arguments: dict[str, object],
    output: Path,
    stop: threading.Event,
) -> None:
    """Run `components.train.train.train` in a CustomJob of this name, and wait for its end, in any thread.

    Args:
        name: The job's name. A job that has this name already is followed, unless it failed.
        placement: The job's workers.
        vertex: The project and region of the job.
        arguments: The arguments of `train`, JSON values. Paths are under /gcs, which is mounted in the job, too.
        output: The folder that Vertex writes for the job, <run>/<task>/<folder> under /gcs.
        stop: An event upon which the job is cancelled.

    Raises:
        InputError: The job is refused, for want of a permission, a quota or a machine.
        JobFailedError: The job failed, or was cancelled by someone else.
        RuntimeError: It isn't known whether the job was started. Another try finds it.
        SystemExit: `stop` was set, and the job was cancelled. The exit code is 143.
    """
    from google.cloud.aiplatform_v1 import JobServiceClient

    jobs = client(JobServiceClient, vertex.region)
    job = _find_or_create(jobs, vertex, _new_job(name, placement, vertex, arguments, output))
    print(job_url(job.name, vertex), flush=True)
    job = _follow(jobs, job, name, stop)
    if (state := _state_name(job.state)) != "succeeded":
        raise JobFailedError(f"{job.name} {state}: {job.error.message or 'without a reason'}")


def _find_or_create(jobs: "JobServiceClient", vertex: Vertex, new: "CustomJob") -> "CustomJob":
    """Find the job of an earlier try, which runs or has succeeded, or create the new one."""
    from google.api_core import exceptions

    name = new.display_name
    try:
        for job in list_by_name(jobs.list_custom_jobs, vertex.parent, name):
            if _state_name(job.state) not in _UNSUCCESSFUL:
                print(f"{name}: following {job.name}, which is there already", flush=True)
                return job
        job = jobs.create_custom_job(parent=vertex.parent, custom_job=new, timeout=CALL_SECONDS)
    except exceptions.ServerError as error:
        raise RuntimeError(error_line(error, name)) from None
    except exceptions.GoogleAPICallError as error:
        raise InputError(error_line(error, name)) from None
    print(f"{name}: started {job.name}", flush=True)
    return job


def job_name(folder: str, trial: int | None = None) -> str:
    """The name of a task's job, from the names of run and task in the path of the task's output.

    If the run's name were an argument of the task, the cache would know no task of another run.

    Args:
        folder: The path of an output, .../<project number>/<run>/<task>_<number>/<output>.
        trial: The number of a search's trial, which has a job of its own.
    """
    task = Path(folder).parent
    name = f"{task.parent.name}-{_TASK.sub('', task.name)}{'' if trial is None else f'-trial-{trial}'}"
    if len(name) <= MAX_NAME:
        return name
    # Two tasks of a run could have the same name once it is cut, and one would follow the other's job.
    return f"{name[: MAX_NAME - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def run_label(run: str) -> str:
    """The value of `RUN_LABEL` for the jobs of a run."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def job_url(job: str, vertex: Vertex) -> str:
    """The address of a job's page in Google's console."""
    number = job.rsplit("/", 1)[-1]
    return (
        f"https://console.cloud.google.com/vertex-ai/locations/{vertex.region}/training/{number}"
        f"?project={vertex.project}"
    )


def _new_job(
    name: str, placement: Placement, vertex: Vertex, arguments: dict[str, object], output: Path
) -> "CustomJob":
    from google.cloud.aiplatform_v1 import types
    from google.protobuf.duration_pb2 import Duration

    container = {"image_uri": placement.image, "command": COMMAND, "args": [json.dumps(arguments)]}
    pools = [
        types.WorkerPoolSpec(
            machine_spec=types.MachineSpec(pool.machine),
            replica_count=pool.replicas,
            container_spec=types.ContainerSpec(
                container,
                env=[types.EnvVar(name=n, value=v) for n, v in TPU_ENVIRONMENT.items()]
                if "tpu_topology" in pool.machine
                else [],
            ),
            disk_spec=types.DiskSpec(boot_disk_size_gb=pool.disk_gb or 100),
        )
        for pool in placement.pools
    ]
    # A worker that is restarted alone would wait for the others in vain.
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


def _follow(jobs: "JobServiceClient", job: "CustomJob", name: str, stop: threading.Event) -> "CustomJob":
    """Print each state of a job until its last. Cancel the job when `stop` is set."""

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            jobs.cancel_custom_job(name=job.name, timeout=CALL_SECONDS)
            print(f"{name}: cancelled {job.name}", flush=True)
            raise SystemExit(128 + signal.SIGTERM)

    printed = ""
    for job in poll(job, jobs.get_custom_job, POLL_SECONDS, wait):  # noqa: B020 (the newest state is meant)
        if (state := _state_name(job.state)) != printed:
            print(f"{name}: {state}", flush=True)
            printed = state
        if state == "succeeded" or state in _FAILED:
            break
    return job


def _state_name(state: "JobState") -> str:
    """A state as a word, such as running."""
    return str(state.name).removeprefix("JOB_STATE_").lower()
