"""What the server refuses, as Google does or would."""

import copy
import functools
import re

import pytest
import samples
from client import PARENT
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1

TASKS = "pipeline_spec.root.dag.tasks"
EXECUTOR = "pipeline_spec.deploymentSpec.executors.exec-d.container"
VALUES = "runtime_config.parameter_values"
POOL = "job_spec.worker_pool_specs.0"
T4 = {"machine_type": "n1-standard-8", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 1}
V5E = {"machine_type": "ct5lp-hightpu-4t", "tpu_topology": "2x2"}
PIPELINE = [
    ("display_name", "", "pipeline_job.display_name; Message: '' has 0 characters"),
    ("labels", {"Team": "x"}, "pipeline_job.labels; Message: the key 'Team'"),
    ("labels", {"team": "New York"}, "'New York' is not a valid value of the label 'team'"),
    ("labels", {f"k{number}": "" for number in range(65)}, "65 labels"),
    ("service_account", "me@example.com", "service_account; Message: 'me@example.com'"),
    ("network", "default", "network; Message: 'default' is not of the form projects/"),
    ("runtime_config.gcs_output_directory", "runs/x", "gcs_output_directory; Message: 'runs/x' is not a path"),
    ("runtime_config.gcs_output_directory", "gs://nowhere/x", "the bucket nowhere does not exist"),
    ("runtime_config.gcs_output_directory", "gs://forbidden-bucket/x", "can't read the bucket forbidden-bucket"),
    ("pipeline_spec", {}, "pipeline_spec; Message: is missing"),
    ("pipeline_spec.colour", "red", 'PipelineSpec" has no field named "colour"'),
    ("pipeline_spec.schemaVersion", "2.0.0", "schemaVersion; Message: '2.0.0' is not supported"),
    ("pipeline_spec.sdkVersion", None, "sdkVersion; Message: is missing"),
    (TASKS, {}, "has no tasks"),
    (f"{TASKS}.b.componentRef.name", "comp-x", "tasks.b.componentRef; Message: 'comp-x' is not in components"),
    (f"{TASKS}.b.dependentTasks", ["x"], "tasks.b.dependentTasks; Message: there is no task 'x'"),
    ("pipeline_spec.components.comp-b.executorLabel", "exec-x", "'exec-x' is not in deploymentSpec.executors"),
    (f"{EXECUTOR}.image", "", "exec-d.container.image; Message: is empty"),
    (f"{EXECUTOR}.resources.accelerator.resourceType", "nvidia.com/gpu", "'nvidia.com/gpu' is not supported"),
    (f"{EXECUTOR}.resources.accelerator.resourceCount", "3", "3 of NVIDIA_TESLA_T4 is not supported"),
    (f"{EXECUTOR}.resources.accelerator", {"type": "NVIDIA_L4", "count": "0"}, "0 of NVIDIA_L4"),
    (VALUES, {}, "the parameter 'needed' of type STRING is missing"),
    (f"{VALUES}.other", "x", "the pipeline has no parameter 'other'"),
    (f"{VALUES}.text", 3, "parameter_values.text; Message: 3.0 is not of the type STRING"),
    (f"{VALUES}.count", 1.5, "1.5 is not of the type NUMBER_INTEGER"),
    (f"{VALUES}.count", True, "True is not of the type NUMBER_INTEGER"),
]
CUSTOM = [
    ("display_name", "", "custom_job.display_name"),
    ("labels", {"team": "A"}, "'A' is not a valid value"),
    ("job_spec.worker_pool_specs", [], "worker_pool_specs; Message: is empty"),
    (f"{POOL}.replica_count", 2, "worker_pool_specs[0].replica_count; Message: 2, expected 1"),
    ("job_spec.worker_pool_specs.1.replica_count", 0, "worker_pool_specs[1].replica_count; Message: 0"),
    (f"{POOL}.container_spec.image_uri", "", "container_spec.image_uri; Message: is missing"),
    (f"{POOL}.container_spec", None, "has no task, expected a container_spec"),
    (f"{POOL}.machine_spec", {}, "machine_spec.machine_type; Message: is missing"),
    (f"{POOL}.machine_spec", {"machine_type": "n1-standard-7"}, 'Machine type "n1-standard-7" is not supported'),
    (f"{POOL}.machine_spec", {**T4, "accelerator_count": 8}, "NVIDIA_TESLA_T4 with count 8 is not supported"),
    (f"{POOL}.machine_spec", {**T4, "accelerator_count": 0}, "type and count go together"),
    (f"{POOL}.machine_spec", {**T4, "accelerator_type": "NVIDIA_L4"}, "NVIDIA_L4 with count 1"),
    (f"{POOL}.machine_spec", {**T4, "machine_type": "e2-standard-4"}, "is not supported for machine type e2"),
    (f"{POOL}.machine_spec", {**T4, "machine_type": "n1-standard-96"}, "for machine type n1-standard-96"),
    (f"{POOL}.machine_spec", {"machine_type": "g2-standard-24"}, "expected 2 of NVIDIA_L4"),
    (f"{POOL}.machine_spec", {"machine_type": "a2-ultragpu-1g"}, "expected 1 of NVIDIA_A100_80GB"),
    (f"{POOL}.machine_spec", {**V5E, "tpu_topology": "1x1"}, "'1x1' is not supported by ct5lp-hightpu-4t"),
    (f"{POOL}.machine_spec", {**T4, **V5E}, "can't be attached to ct5lp-hightpu-4t"),
    (f"{POOL}.machine_spec", {**T4, "tpu_topology": "2x2"}, "n1-standard-8 has no TPU"),
    (f"{POOL}.machine_spec", V5E, "2 pools, a TPU job has one"),
    (f"{POOL}.disk_spec.boot_disk_size_gb", 50, "50 is not within 100 and 64000"),
    ("job_spec.base_output_directory.output_uri_prefix", "bucket/x", "'bucket/x' is not a path"),
    ("job_spec.scheduling.timeout", "604801s", "604801s is not within"),
    ("job_spec.service_account", "x", "'x' is not a service account's"),
    ("job_spec.network", "x", "'x' is not of the form"),
    ("job_spec.tensorboard", "x", "'x' is not of the form"),
]
SCHEDULE = [
    ("display_name", "", "schedule.display_name"),
    ("cron", "0 3 * *", "'0 3 * *' has 4 fields"),
    ("cron", "0 25 * * *", "'25' is no field within 0 and 23"),
    ("cron", "TZ=Europe/Nowhere 0 3 * * *", "No time zone found"),
    ("max_concurrent_run_count", 0, "max_concurrent_run_count; Message: 0"),
    ("create_pipeline_job_request", None, "schedule.request; Message: is missing"),
    ("create_pipeline_job_request.parent", "", "is not the schedule's own"),
    ("create_pipeline_job_request.pipeline_job.pipeline_spec.sdkVersion", None, "sdkVersion; Message: is missing"),
    ("create_pipeline_job_request.pipeline_job.display_name", "x" * 129, "pipeline_job.display_name"),
]
MODEL = [
    ("display_name", "", "model.display_name"),
    ("labels", {"A": "b"}, "the key 'A'"),
    ("artifact_uri", "/gcs/bucket/model", "'/gcs/bucket/model' is not a path"),
    ("artifact_uri", "gs://bucket/mod", "'gs://bucket/mod' has no files"),
    ("container_spec", {}, "image_uri; Message: is missing"),
    ("version_aliases", ["X"], "'X' does not match"),
]

# A client for all tests: making one takes longer than a refusal.
service = functools.cache(samples.service)


def create_pipeline(cloud, content, job_id="job", parent=PARENT):
    service(v1.PipelineServiceClient, cloud).create_pipeline_job(
        parent=parent, pipeline_job=samples.message(v1.PipelineJob, content), pipeline_job_id=job_id
    )


def create_custom(cloud, content):
    service(v1.JobServiceClient, cloud).create_custom_job(
        parent=PARENT, custom_job=samples.message(v1.CustomJob, content)
    )


def create_schedule(cloud, content):
    service(v1.ScheduleServiceClient, cloud).create_schedule(
        parent=PARENT, schedule=samples.message(v1.Schedule, content)
    )


def upload_model(cloud, content):
    request = {"parent": PARENT, "model": samples.message(v1.Model, content)}
    service(v1.ModelServiceClient, cloud).upload_model(request=request).result(timeout=20)


CREATED = [
    *((create_pipeline, samples.PIPELINE, *row) for row in PIPELINE),
    *((create_custom, samples.CUSTOM, *row) for row in CUSTOM),
    *((create_schedule, samples.SCHEDULE, *row) for row in SCHEDULE),
    *((upload_model, samples.MODEL, *row) for row in MODEL),
]


@pytest.mark.parametrize(("create", "content", "path", "value", "said"), CREATED)
def test_one_wrong_field_is_refused(cloud, create, content, path, value, said):
    cloud.put("gs://bucket/model/saved_model.pb", b"model")
    content = copy.deepcopy(content)
    samples.set_at(content, path, value)
    with pytest.raises((exceptions.InvalidArgument, exceptions.FailedPrecondition), match=re.escape(said)):
        create(cloud, content)


def test_what_is_right_is_taken(cloud):
    cloud.put("gs://bucket/model/saved_model.pb", b"model")
    for create, content in {create: content for create, content, *_ in CREATED}.items():
        create(cloud, content)


@pytest.mark.parametrize(
    ("parent", "error"),
    [
        ("projects/other/locations/us-central1", exceptions.PermissionDenied),
        ("projects/my-project/locations/mars-north1", exceptions.InvalidArgument),
        ("my-project", exceptions.InvalidArgument),
    ],
)
def test_a_wrong_place_is_refused(cloud, parent, error):
    with pytest.raises(error):
        create_pipeline(cloud, samples.PIPELINE, parent=parent)


@pytest.mark.parametrize("job_id", ["Job", "1job", "job_1", "j" * 129])
def test_a_wrong_job_id_is_refused(cloud, job_id):
    with pytest.raises(exceptions.InvalidArgument, match=job_id):
        create_pipeline(cloud, samples.PIPELINE, job_id)


def test_what_control_does_not_know_is_refused(cloud):
    with pytest.raises(ValueError, match=r"unknown commands: .*holt"):
        cloud.control(holt=True)
    with pytest.raises(ValueError, match="none of gRPC's"):
        cloud.control(fault={"method": "X", "code": "BROKEN"})
