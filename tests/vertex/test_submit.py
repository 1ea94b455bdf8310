"""Submit: what is sent, what is refused before, and an answer that was lost."""

import json
from pathlib import Path

import pytest
import yaml
from command_line import created, refused, submit
from training_job import IMAGE

pytestmark = pytest.mark.slow


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


def test_a_run_is_added_to_its_vertex_experiment(pipeline, config, cloud):
    for job in ("small-1", "small-2"):
        done = submit(pipeline, config, "--job-id", job, "--set", "vertex.experiment=demand")
        assert done.returncode == 0, done.stderr
        assert "added to the Vertex experiment demand" in done.stdout
    assert len(cloud.requests("CreateContext")) == 1
    assert len(cloud.requests("AddContextChildren")) == 2
