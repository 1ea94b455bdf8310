"""Follow, list, cancel and read jobs that were submitted."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from command_line import TASKS, created, refused, submit
from google.cloud.aiplatform_v1 import JobServiceClient
from training_job import IMAGE

from components.vertex import custom_job

pytestmark = pytest.mark.slow


def launch_a_job(cloud, run, task):
    """A CustomJob such as a task of a run launches; its number."""
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": IMAGE},
    }
    job = {
        "display_name": f"{run}-{task}",
        "job_spec": {"worker_pool_specs": [pool]},
        "labels": {custom_job.RUN_LABEL: custom_job.run_label(run)},
    }
    jobs = JobServiceClient(client_options={"api_endpoint": cloud.grpc})
    parent = "projects/my-project/locations/us-central1"
    return jobs.create_custom_job(parent=parent, custom_job=job).name.rsplit("/", 1)[-1]


def test_waiting_shows_the_tasks(pipeline, config, cloud):
    cloud.control(task_seconds=0.05)
    done = submit(pipeline, config, "--job-id", "small-1", "--wait")
    assert done.returncode == 0, done.stderr
    shown = {
        line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if line.startswith(("done", "failed"))
    }
    assert shown == {task: "done" for task in TASKS}
    assert done.stdout.rstrip().endswith("results: gs://bucket/runs/123456789012/small-1/")


def test_a_failed_task_ends_the_wait_with_its_error(pipeline, config, cloud):
    cloud.control(task_seconds=0.05)
    cloud.control(task={"name": "train-lstm", "outcome": "FAILED", "message": "ran out of memory", "code": 8})
    done = submit(pipeline, config, "--job-id", "small-1", "--wait")
    assert done.returncode == 1
    assert "error: small-1 failed: train-lstm: ran out of memory" in done.stdout
    assert "python -m pipeline logs small-1" in done.stdout
    shown = {
        line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if line.startswith(("done", "failed"))
    }
    assert shown["train-lstm"] == "failed"
    assert shown["baseline-demand"] == "done", "what doesn't depend on it goes on"
    assert "evaluate-lstm" not in shown


def test_a_lost_connection_does_not_end_the_wait(pipeline, config, cloud):
    cloud.control(hold=True)
    seen = {}

    def cut():
        while not created(cloud):
            time.sleep(0.1)
        time.sleep(1)
        cloud.control(outage=4)
        cloud.control(hold=False, task_seconds=0.05)
        seen["cut"] = True

    thread = threading.Thread(target=cut)
    thread.start()
    done = submit(pipeline, config, "--job-id", "small-1", "--wait")
    thread.join()
    assert seen["cut"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(created(cloud)) == 1


def test_status_logs_list_and_cancel(pipeline, config, cloud):
    cloud.control(task_seconds=0.05)
    submit(pipeline, config, "--job-id", "small-1", "--wait")
    done = pipeline("status", "small-1")
    assert done.returncode == 0, done.stderr
    assert all(task in done.stdout for task in TASKS)
    assert "small-1: succeeded" in done.stdout

    cloud.control(hold=True)
    submit(pipeline, config, "--job-id", "small-2")
    listed = pipeline("list", "small")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == ["small-2", "small-1"]
    assert not pipeline("list", "other").stdout.splitlines()[1:]
    done = pipeline("cancel", "small-2")
    assert done.returncode == 0, done.stderr
    assert not cloud.requests("CancelCustomJob")
    cloud.control(hold=False)
    until = time.monotonic() + 30
    while "small-2: cancelled" not in (said := pipeline("status", "small-2").stdout):
        assert time.monotonic() < until, said
    for command in ("status", "cancel", "logs"):
        refused(pipeline(command, "small-9"), "job small-9: there is none in my-project, us-central1")


def test_cancel_also_ends_the_jobs_of_tasks_that_were_killed(pipeline, config, cloud):
    """Their tasks could not cancel them. Jobs of other runs go on, also of one whose name begins the same."""
    cloud.control(hold=True)
    submit(pipeline, config, "--job-id", "small-1")
    for run in ("small-1", "small-1-2", "small-1"):
        launch_a_job(cloud, run, "train-lstm")
    done = pipeline("cancel", "small-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("small-1-train-lstm: cancelling\n") == 2
    assert "small-1-2" not in done.stdout
    assert len(cloud.requests("CancelCustomJob")) == 2
    cloud.control(hold=False)
    until = time.monotonic() + 30
    while "small-1: cancelled" not in (said := pipeline("status", "small-1").stdout):
        assert time.monotonic() < until, said
    refused(pipeline("cancel", "small-1"), "small-1")
    cloud.control(hold=True)
    launch_a_job(cloud, "small-1", "train-lstm")
    assert "small-1-train-lstm: cancelling" in pipeline("cancel", "small-1").stdout, "the run itself has ended"


def test_following_ends_with_ctrl_c_and_the_job_goes_on(pipeline, config, cloud):
    cloud.control(hold=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "submit", config, "--bucket", "bucket", "--job-id", "small-1", "--wait"],
        env={
            **os.environ,
            **cloud.environment(),
            **dict.fromkeys(("IMAGE", "IMAGE_GPU", "IMAGE_SERVING"), IMAGE),
            "GOOGLE_CLOUD_REGION": "us-central1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not cloud.requests("GetPipelineJob"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the job goes on. To end it: python -m pipeline cancel small-1" in output
    assert "Traceback" not in output
    assert "small-1: running" in pipeline("status", "small-1").stdout


def test_logs_are_those_of_the_tasks(pipeline, config, cloud):
    cloud.control(task_seconds=0.05)
    submit(pipeline, config, "--job-id", "small-1", "--wait")
    cloud.control(log={"task": "train-lstm", "lines": ["epoch 1/10", "epoch 2/10"]})
    cloud.control(log={"task": "compare", "lines": ["1 model"]})
    done = pipeline("logs", "small-1", "train-lstm")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[1:] for line in done.stdout.splitlines()[-2:]] == [
        ["train-lstm", "epoch 1/10"],
        ["train-lstm", "epoch 2/10"],
    ]
    assert "compare" not in done.stdout
    number = launch_a_job(cloud, "small-1", "train-lstm")
    cloud.control(log={"job_id": number, "lines": ["a step of the job"]})
    for asked in (["train-lstm"], []):
        assert "train-lstm (job)  a step of the job" in pipeline("logs", "small-1", *asked).stdout
    assert "a step" not in pipeline("logs", "small-1", "compare").stdout
    assert "compare  1 model" in pipeline("logs", "small-1").stdout
    refused(pipeline("logs", "small-1", "train-mlp"), "small-1: no task train-mlp has run yet")
    cloud.control(permissions={"deny": ["logging.logEntries.list"]})
    refused(pipeline("logs", "small-1"), "the logs can't be read: 403", "roles/logging.viewer")
