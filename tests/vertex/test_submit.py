"""Submit, follow, list, cancel, schedule: the command line against a server that speaks the real protocol."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from google.cloud.aiplatform_v1 import JobServiceClient
from training_job import IMAGE

from components.vertex import custom_job

pytestmark = pytest.mark.slow
CONFIG = """\
seed: 1
vertex: {service_account: runner@my-project.iam.gserviceaccount.com, labels: {team: vision}}
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4, hyperparameters: {units: 8}}
"""
TASKS = [
    "baseline-demand",
    "compare",
    "evaluate-lstm",
    "export-lstm",
    "ingest-demand",
    "register",
    "report",
    "train-lstm",
]


@pytest.fixture
def config(tmp_path):
    """A small experiment's file."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def pipeline(cloud):
    """Run the command line where its clients find the server."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            env={
                **os.environ,
                **cloud.environment(),
                **dict.fromkeys(("IMAGE", "IMAGE_GPU", "IMAGE_TPU", "IMAGE_SERVING"), IMAGE),
                "GOOGLE_CLOUD_REGION": "us-central1",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def submit(pipeline, config, *arguments, **environment):
    return pipeline("submit", config, "--bucket", "gs://bucket/runs", *arguments, **environment)


def refused(done, *parts):
    """It ended with code 2, and one line that says so."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def created(cloud):
    return cloud.requests("CreatePipelineJob")


def test_the_compiled_file_arrives_as_it_is(pipeline, config, cloud):
    done = submit(pipeline, config, "--job-id", "small-1", "--parameter", "registry=x")
    assert done.returncode == 0, done.stderr
    assert "submitted small-1 to my-project in us-central1" in done.stdout
    url = "https://console.cloud.google.com/vertex-ai/pipelines/locations/us-central1/runs/small-1?project=my-project"
    assert url in done.stdout
    (call,) = created(cloud)
    request = call["request"]
    assert request["parent"] == "projects/my-project/locations/us-central1"
    assert request["pipeline_job_id"] == "small-1"
    job = request["pipeline_job"]
    spec = yaml.safe_load(Path("build/small.yaml").read_text(encoding="utf-8"))
    # The protocol's Struct has no integers.
    assert json.loads(json.dumps(job["pipeline_spec"])) == spec
    assert job["service_account"] == "runner@my-project.iam.gserviceaccount.com"
    assert job["runtime_config"]["gcs_output_directory"] == "gs://bucket/runs"
    assert job["runtime_config"]["parameter_values"]["registry"] == "x"
    assert job["labels"]["team"] == "vision"


def test_a_submission_may_ask_for_a_promotion(pipeline, config, cloud):
    for asked in ((), ("--promote",)):
        assert submit(pipeline, config, *asked).returncode == 0
    given = [call["request"]["pipeline_job"]["runtime_config"]["parameter_values"] for call in created(cloud)]
    assert [values.get("promote") for values in given] == [None, True]


def test_registering_is_never_answered_by_the_cache(pipeline, config, cloud):
    """It would be told to look at the registry, and the cache knows its inputs alone."""
    submit(pipeline, config)
    tasks = yaml.safe_load(Path("build/small.yaml").read_text(encoding="utf-8"))["root"]["dag"]["tasks"]
    cached = {name: task.get("cachingOptions", {}).get("enableCache", False) for name, task in tasks.items()}
    assert [name for name, is_cached in cached.items() if not is_cached] == ["register"]


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


def test_a_server_that_is_away_is_tried_again_with_the_same_id(pipeline, config, cloud):
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "times": 2})
    done = submit(pipeline, config)
    assert done.returncode == 0, done.stderr
    calls = created(cloud)
    assert len(calls) == 3
    assert len({call["request"]["pipeline_job_id"] for call in calls}) == 1


def test_a_lost_answer_is_not_a_second_job(pipeline, config, cloud):
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "times": 1, "committed": True})
    done = submit(pipeline, config, "--job-id", "small-1")
    assert done.returncode == 0, done.stderr
    assert len(created(cloud)) == 2
    listed = pipeline("list")
    assert listed.stdout.count("small-1") == 1


def test_a_job_is_found_though_every_answer_was_lost(pipeline, config, cloud):
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "times": 1, "committed": True})
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "times": 99})
    done = submit(pipeline, config, "--job-id", "small-1")
    assert done.returncode == 0, done.stderr
    assert len(created(cloud)) == 5


def test_an_id_that_another_job_has_is_refused(pipeline, config, cloud):
    assert submit(pipeline, config, "--job-id", "small-1").returncode == 0
    refused(submit(pipeline, config, "--job-id", "small-1"), "job id small-1: taken by another job", "--job-id")


def test_a_service_that_stays_away_is_said(pipeline, config, cloud):
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAVAILABLE", "message": "try later", "times": 99})
    refused(submit(pipeline, config, "--job-id", "small-1"), "submitting small-1", "try later", "tried 5 times")
    assert "small-1" not in pipeline("list").stdout


def test_a_missing_permission_is_named(pipeline, config, cloud):
    cloud.control(permissions={"deny": ["aiplatform.pipelineJobs.create"]})
    done = submit(pipeline, config)
    refused(done, "the permission aiplatform.pipelineJobs.create is missing", "roles/aiplatform.user")


def test_a_quota_of_zero_is_named(pipeline, config, cloud):
    cloud.control(quota={"custom_model_training_nvidia_t4_gpus": 0})
    refused(submit(pipeline, config), "quota", "custom_model_training_nvidia_t4_gpus", "another machine")
    assert not pipeline("list").stdout.splitlines()[1:]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--project", "no-such-project"], ["project no-such-project: there is none that these credentials can see"]),
        (
            ["--bucket", "gs://bucket-eu/runs"],
            ["bucket gs://bucket-eu: lies in europe-west4, expected one in the region us-central1"],
        ),
        (["--bucket", "gs://no-such-bucket"], ["bucket gs://no-such-bucket: there is none", "buckets create"]),
        (["--job-id", "Small_1"], ["job id: 'Small_1'"]),
        (["--set", "models.lstm.machine=gpu-t5"], ["machine: no 'gpu-t5'"]),
    ],
)
def test_what_is_not_there_is_one_line(pipeline, config, cloud, arguments, parts):
    refused(submit(pipeline, config, *arguments), *parts)
    assert not created(cloud)


def test_an_image_that_is_not_there_is_one_line(pipeline, config, cloud):
    refused(submit(pipeline, config, IMAGE=IMAGE.replace("aaaa", "bbbb")), "image us-central1-docker", "has none")
    assert not created(cloud)


@pytest.mark.parametrize(
    ("location", "where"), [("US", "us"), ("US+US-CENTRAL1+US-EAST1", "us (us-central1, us-east1)")]
)
def test_a_bucket_in_more_regions_than_one_is_refused(pipeline, config, cloud, location, where):
    """Google's documentation of custom training: multi- and dual-region buckets aren't supported."""
    cloud.control(buckets={"wide": location})
    refused(
        pipeline("submit", config, "--bucket", "gs://wide/runs"),
        f"bucket gs://wide: lies in {where}, expected one in the region us-central1 alone",
    )


def test_check_names_roles_and_sends_nothing(pipeline, config, cloud):
    done = pipeline("submit", config, "--bucket", "gs://bucket/runs", "--check")
    assert done.returncode == 0, done.stderr
    runner = "serviceAccount:runner@my-project.iam.gserviceaccount.com"
    for command in (
        f"gcloud projects add-iam-policy-binding my-project --member={runner} --role=roles/aiplatform.user",
        f"gcloud storage buckets add-iam-policy-binding gs://bucket --member={runner} --role=roles/storage.objectUser",
        f"gcloud iam service-accounts add-iam-policy-binding {runner.partition(':')[2]} --project=my-project "
        f"--member={runner} --role=roles/iam.serviceAccountUser",
    ):
        assert command in done.stdout.splitlines()
    assert "nothing was sent" in done.stdout
    assert not cloud.requests("CreatePipelineJob")
    refused(pipeline("submit", config, "--bucket", "gs://no-such-bucket", "--check"), "bucket gs://no-such-bucket")


def test_a_bucket_that_may_not_be_looked_at_is_a_note(pipeline, config, cloud):
    done = pipeline("submit", config, "--bucket", "gs://forbidden-bucket/runs")
    assert "note: bucket gs://forbidden-bucket: its region was not checked" in done.stdout


def test_no_credentials_are_one_line(pipeline, config, cloud, tmp_path):
    bare = {"GOOGLE_APPLICATION_CREDENTIALS": "", "CLOUDSDK_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
    refused(
        submit(pipeline, config, **bare), "no credentials for Google Cloud", "gcloud auth application-default login"
    )
    refused(submit(pipeline, config, GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "none.json")), "no credentials")


def test_credentials_that_are_refused_are_one_line(pipeline, config, cloud):
    cloud.control(fault={"method": "CreatePipelineJob", "code": "UNAUTHENTICATED", "message": "token expired"})
    refused(submit(pipeline, config), "the credentials are refused", "token expired")


def test_no_secret_is_printed_or_sent(pipeline, config, cloud):
    done = submit(pipeline, config, "--job-id", "small-1")
    account = Path(cloud.environment()["GOOGLE_APPLICATION_CREDENTIALS"])
    key = json.loads(account.read_text(encoding="utf-8"))["private_key"].splitlines()[1]
    said = done.stdout + done.stderr + json.dumps(cloud.requests())
    assert key not in said
    assert "Bearer" not in said
    assert key not in Path("build/small.yaml").read_text(encoding="utf-8")


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


def test_schedules_are_made_listed_paused_and_deleted(pipeline, config, cloud):
    when = ["--cron", "TZ=Europe/Berlin 0 3 * * 1"]
    made = pipeline("schedule", "create", config, *when, "--bucket", "bucket", "--set", "vertex.experiment=demand")
    assert made.returncode == 0, made.stderr
    assert "runs of a schedule aren't added to the Vertex experiment demand" in made.stdout
    (call,) = cloud.requests("CreateSchedule")
    schedule = call["request"]["schedule"]
    assert schedule["cron"] == "TZ=Europe/Berlin 0 3 * * 1"
    assert schedule["create_pipeline_job_request"]["pipeline_job"]["labels"]["experiment"] == "small"
    assert "pipeline_job_id" not in schedule["create_pipeline_job_request"]
    again = pipeline("schedule", "create", config, "--cron", "0 3 * * 1", "--bucket", "bucket")
    refused(again, "schedule small:", "delete it first")
    for action, state in (("pause", "paused"), ("resume", "active")):
        assert pipeline("schedule", action, "small").returncode == 0
        assert state in pipeline("schedule", "list").stdout
    assert pipeline("schedule", "delete", "small").returncode == 0
    assert not pipeline("schedule", "list").stdout.splitlines()[1:]
    refused(pipeline("schedule", "delete", "small"), "schedule small: there is none")
    refused(pipeline("schedule", "create", config, "--cron", "at dawn", "--bucket", "bucket"), "--cron: 'at dawn'")
    refused(
        pipeline("schedule", "create", config, "--cron", "99 3 * * 1", "--bucket", "bucket"), "creating the schedule"
    )


def test_a_run_is_added_to_its_vertex_experiment(pipeline, config, cloud):
    for job in ("small-1", "small-2"):
        done = submit(pipeline, config, "--job-id", job, "--set", "vertex.experiment=demand")
        assert done.returncode == 0, done.stderr
        assert "added to the Vertex experiment demand" in done.stdout
    assert len(cloud.requests("CreateContext")) == 1
    assert len(cloud.requests("AddContextChildren")) == 2


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
