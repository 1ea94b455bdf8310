"""Pipeline jobs, credentials, faults and the server's own life."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import samples
from client import NUMBER, PARENT, Cloud
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1

NAME = f"projects/{NUMBER}/locations/us-central1/pipelineJobs"


@pytest.fixture
def pipelines(cloud):
    """Google's client of pipeline jobs."""
    return samples.service(v1.PipelineServiceClient, cloud)


def wait(pipelines, name, states=samples.ENDED):
    for _ in range(500):
        job = pipelines.get_pipeline_job(name=name)
        if samples.state_of(job) in states:
            return job
        time.sleep(0.02)
    raise AssertionError(f"{name} is {job.state}")


def states(job):
    return {detail.task_name: detail.state.name for detail in job.job_detail.task_details}


def test_a_job_runs_its_tasks_in_their_order(cloud, pipelines):
    job = samples.submit(cloud)
    assert job.name == f"{NAME}/job"
    assert samples.state_of(job) == "PENDING"
    assert job.labels["experiment"] == "sample"
    job = wait(pipelines, job.name)
    assert samples.state_of(job) == "SUCCEEDED"
    assert states(job) == dict.fromkeys(["sample", "a", "b", "c", "d"], "SUCCEEDED")
    a, b, d = (next(t for t in job.job_detail.task_details if t.task_name == name) for name in "abd")
    assert a.end_time <= b.start_time
    assert b.end_time <= d.start_time <= job.end_time
    assert "/customJobs/" in d.executor_detail.container_detail.main_job
    assert job.job_detail.pipeline_run_context.name.endswith("/contexts/job")


def test_a_failed_task_fails_the_job(cloud, pipelines):
    cloud.control(task={"name": "b", "outcome": "FAILED", "message": "no luck", "code": 3})
    job = wait(pipelines, samples.submit(cloud).name)
    assert samples.state_of(job) == "FAILED"
    said = {detail.task_name: detail for detail in job.job_detail.task_details}
    assert (said["b"].error.code, said["b"].error.message) == (3, "no luck")
    assert (said["c"].state.name, said["d"].state.name) == ("SUCCEEDED", "NOT_TRIGGERED")
    assert "The failed tasks are: [b]." in job.error.message


def test_a_held_job_runs_until_it_is_released_or_cancelled(cloud, pipelines):
    cloud.control(hold=True, task_seconds=0, queue_seconds=0)
    first, second = samples.submit(cloud, "first"), samples.submit(cloud, "second")
    assert samples.state_of(wait(pipelines, first.name, ["RUNNING"])) == "RUNNING"
    time.sleep(0.1)
    assert states(pipelines.get_pipeline_job(name=first.name))["a"] == "RUNNING"
    pipelines.cancel_pipeline_job(name=second.name)
    assert samples.state_of(wait(pipelines, second.name, ["CANCELLING", "CANCELLED"]))
    cancelled = wait(pipelines, second.name)
    assert samples.state_of(cancelled) == "CANCELLED"
    assert states(cancelled)["a"] == "CANCELLED"
    with pytest.raises(exceptions.FailedPrecondition):
        pipelines.cancel_pipeline_job(name=second.name)
    cloud.control(hold=False)
    assert samples.state_of(wait(pipelines, first.name)) == "SUCCEEDED"


def test_jobs_are_listed(cloud, pipelines):
    for number in range(5):
        samples.submit(cloud, f"job-{number}", labels={"experiment": "even" if number % 2 == 0 else "odd"})

    def names(**request):
        found = pipelines.list_pipeline_jobs(request={"parent": PARENT, **request})
        return [job.name.rsplit("/", 1)[-1] for job in found]

    assert names() == names(page_size=2) == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
    assert names(filter="labels.experiment=odd", order_by="create_time desc") == ["job-3", "job-1"]
    assert names(filter='labels.experiment:* AND (labels.experiment="odd" OR display_name="x")') == ["job-3", "job-1"]
    assert names(filter="labels.other:*") == names(filter='display_name="other"') == []
    shown = list(pipelines.list_pipeline_jobs(request={"parent": PARENT, "read_mask": {"paths": ["name", "state"]}}))
    assert shown[0].name and not shown[0].display_name
    for wrong in ({"filter": "nonsense"}, {"filter": "colour=red"}, {"order_by": "colour"}):
        with pytest.raises(exceptions.InvalidArgument):
            names(**wrong)


def test_an_answer_is_lost_and_the_retry_meets_the_job(cloud, pipelines):
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "message": "gone", "committed": True})
    with pytest.raises(exceptions.ServiceUnavailable, match="gone"):
        samples.submit(cloud)
    with pytest.raises(exceptions.AlreadyExists, match="Requested entity already exists"):
        samples.submit(cloud)
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "times": 2, "skip": 1})
    samples.submit(cloud, "other")
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            samples.submit(cloud, "third")
    samples.submit(cloud, "third")


def test_the_server_goes_and_comes_back(cloud, pipelines):
    job = samples.submit(cloud)
    cloud.control(outage=0.3)
    with pytest.raises(exceptions.ServiceUnavailable):
        pipelines.get_pipeline_job(name=job.name, timeout=5, retry=None)
    for _ in range(100):
        try:
            assert pipelines.get_pipeline_job(name=job.name, timeout=5, retry=None).name == job.name
            break
        except exceptions.ServiceUnavailable:
            time.sleep(0.1)
    else:
        raise AssertionError("it didn't come back")


def test_an_unknown_command_is_refused(cloud):
    with pytest.raises(ValueError, match=r"unknown commands: .*holt"):
        cloud.control(holt=True)
    with pytest.raises(ValueError, match="none of gRPC's"):
        cloud.control(fault={"method": "X", "code": "BROKEN"})


def test_it_ends_when_told_and_with_its_parent(tmp_path):
    server = Cloud(tmp_path / "first")
    assert (tmp_path / "first" / "service-account.json").stat().st_mode & 0o077 == 0
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from client import Cloud\n"
        "print(Cloud(Path(sys.argv[2])).process.pid)"
    )
    here = str(Path(__file__).parent)
    started = subprocess.run(
        [sys.executable, "-c", code, here, str(tmp_path / "second")], capture_output=True, text=True, check=True
    )
    pid = int(started.stdout)
    for _ in range(250):
        # A process whose parent is gone is another's child; that one may not have waited for it yet.
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text(encoding="utf-8"):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("it outlived its parent")
