"""What the server refuses, as Google does or would, told by Google's clients."""

import copy
import functools
import re

import pytest
from client import PARENT
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from google.protobuf.json_format import MessageToDict, ParseDict
from kfp import dsl

TASKS = "pipeline_spec.root.dag.tasks"
EXECUTOR = "pipeline_spec.deploymentSpec.executors.exec-step-2.container"
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
    ("network", "default", "network; Message: 'default' is not"),
    ("runtime_config.gcs_output_directory", "runs/x", "gcs_output_directory; Message: 'runs/x' is not a path"),
    ("runtime_config.gcs_output_directory", "gs://nowhere/x", "the bucket nowhere does not exist"),
    ("pipeline_spec.colour", "red", 'PipelineSpec" has no field named "colour"'),
    ("pipeline_spec.schemaVersion", "2.0.0", "schemaVersion; Message: '2.0.0' is not supported"),
    ("pipeline_spec.sdkVersion", None, "sdkVersion; Message: is missing"),
    (TASKS, {}, "has no tasks"),
    (
        f"{TASKS}.step-2.componentRef.name",
        "comp-x",
        "tasks.step-2.componentRef; Message: 'comp-x' is not in components",
    ),
    (f"{TASKS}.step-2.dependentTasks", ["x"], "tasks.step-2.dependentTasks; Message: there is no task 'x'"),
    ("pipeline_spec.components.comp-step-2.executorLabel", "exec-x", "'exec-x' is not in deploymentSpec.executors"),
    (f"{EXECUTOR}.image", "", "exec-step-2.container.image; Message: is empty"),
    (f"{EXECUTOR}.resources.accelerator.resourceType", "nvidia.com/gpu", "1 of nvidia.com/gpu is not supported"),
    (f"{EXECUTOR}.resources.accelerator.resourceCount", "3", "3 of NVIDIA_TESLA_T4 is not supported"),
    (VALUES, {}, "parameter needed is missing"),
    (f"{VALUES}.other", "x", "parameter other is not defined"),
    (f"{VALUES}.needed", 3, "parameter needed is 3.0, expected STRING"),
    (f"{VALUES}.count", 1.5, "parameter count is 1.5, expected NUMBER_INTEGER"),
    (f"{VALUES}.count", True, "parameter count is True, expected NUMBER_INTEGER"),
]
CUSTOM = [
    ("job_spec.worker_pool_specs", [], "worker_pool_specs; Message: has 0 pools"),
    (f"{POOL}.replica_count", 2, "worker_pool_specs[0].replica_count; Message: 2, expected 1"),
    (f"{POOL}.container_spec", None, "container_spec.image_uri; Message: is missing"),
    (f"{POOL}.machine_spec", {"machine_type": "n1-standard-7"}, 'Machine type "n1-standard-7" is not supported'),
    (f"{POOL}.machine_spec", {**T4, "accelerator_count": 8}, "NVIDIA_TESLA_T4 with count 8 is not supported"),
    (f"{POOL}.machine_spec", {**T4, "accelerator_count": 0}, "NVIDIA_TESLA_T4 with count 0 is not supported"),
    (f"{POOL}.machine_spec", {**T4, "accelerator_type": "NVIDIA_L4"}, "NVIDIA_L4 with count 1"),
    (f"{POOL}.machine_spec", {**T4, "machine_type": "e2-standard-4"}, "is not supported for machine type e2"),
    (f"{POOL}.machine_spec", {**T4, "machine_type": "n1-standard-96"}, "for machine type n1-standard-96"),
    (f"{POOL}.machine_spec", {"machine_type": "g2-standard-24"}, "not supported for machine type g2-standard-24"),
    (f"{POOL}.machine_spec", {**V5E, "tpu_topology": "1x1"}, "'1x1' is not supported by ct5lp-hightpu-4t"),
    (f"{POOL}.machine_spec", {**T4, **V5E}, "not supported for machine type ct5lp-hightpu-4t"),
    (f"{POOL}.machine_spec", {**T4, "tpu_topology": "2x2"}, "'2x2' is not supported by n1-standard-8"),
    (f"{POOL}.machine_spec", V5E, "2 pools, a TPU job has one"),
    (f"{POOL}.disk_spec.boot_disk_size_gb", 50, "50 is not within 100 and 64000"),
    ("job_spec.base_output_directory.output_uri_prefix", "bucket/x", "'bucket/x' is not a path"),
    ("job_spec.scheduling.timeout", "604801s", "604801s is not within"),
    ("job_spec.tensorboard", "x", "'x' is not a tensorboard"),
]
SCHEDULE = [
    ("cron", "0 3 * *", "'0 3 * *' has 4 fields"),
    ("cron", "0 25 * * *", "'25' is no field within 0 and 23"),
    ("cron", "TZ=Europe/Nowhere 0 3 * * *", "No time zone found"),
    ("max_concurrent_run_count", 0, "max_concurrent_run_count; Message: 0"),
    ("create_pipeline_job_request.parent", "", "is not the schedule's own"),
    ("create_pipeline_job_request.pipeline_job.pipeline_spec.sdkVersion", None, "sdkVersion; Message: is missing"),
]
MODEL = [
    ("artifact_uri", "/gcs/bucket/model", "'/gcs/bucket/model' is not a path"),
    ("artifact_uri", "gs://bucket/mod", "'gs://bucket/mod' has no files"),
    ("container_spec", {}, "image_uri; Message: is missing"),
    ("version_aliases", ["X"], "'X' does not match"),
]


IMAGE = f"us-central1-docker.pkg.dev/my-project/images/keras-pipeline-python@sha256:{'a' * 64}"


@dsl.container_component
def step(text: str):
    return dsl.ContainerSpec(image=IMAGE, command=["echo"], args=[text])


@dsl.pipeline(name="sample")
def sample(needed: str, count: int = 1):
    first = step(text=needed)
    second = step(text=needed).after(first)
    second.set_accelerator_type("NVIDIA_TESLA_T4").set_accelerator_limit(1)


JOB = {
    "display_name": "sample",
    "pipeline_spec": MessageToDict(sample.pipeline_spec),
    "runtime_config": {"gcs_output_directory": "gs://bucket/runs", "parameter_values": {"needed": "x"}},
}
POOLS = [{"machine_spec": T4, "replica_count": 1, "container_spec": {"image_uri": IMAGE}} for _ in range(2)]
JOB_SPEC = {"worker_pool_specs": POOLS, "base_output_directory": {"output_uri_prefix": "gs://bucket/job"}}
NIGHTLY = {"display_name": "nightly", "cron": "TZ=Europe/Berlin 0 3 * * 1-5", "max_concurrent_run_count": 1}
NIGHTLY["create_pipeline_job_request"] = {"parent": PARENT, "pipeline_job": JOB}
UPLOAD = {"display_name": "sample", "artifact_uri": "gs://bucket/model", "container_spec": {"image_uri": IMAGE}}
# Of each kind: who makes it, one that is taken, and changes of it that are refused.
KINDS = {
    "pipeline_job": (v1.PipelineServiceClient, JOB, PIPELINE),
    "custom_job": (v1.JobServiceClient, {"display_name": "sample", "job_spec": JOB_SPEC}, CUSTOM),
    "schedule": (v1.ScheduleServiceClient, NIGHTLY, SCHEDULE),
    "model": (v1.ModelServiceClient, UPLOAD, MODEL),
}


@functools.cache
def service(cls, address):
    """A client of Google's, one for all tests: making one takes longer than a refusal."""
    return cls(client_options={"api_endpoint": address})


@pytest.fixture
def create(cloud):
    """Ask for one of a kind, which may differ at a path such as pools.0.count; None removes what is there."""
    cloud.put("gs://bucket/model/saved_model.pb", b"model")

    def create(kind, path="", new=None, parent=PARENT, **more):
        client, taken, _ = KINDS[kind]
        value = content = copy.deepcopy(taken)
        *parents, last = path.split(".")
        for part in parents:
            value = value[int(part)] if isinstance(value, list) else value.setdefault(part, {})
        if new is not None:
            value[last] = new
        elif path:
            del value[last]
        resource = getattr(v1, kind.title().replace("_", ""))()
        ParseDict(content, type(resource).pb(resource))
        if kind == "pipeline_job":
            more = {"pipeline_job_id": "job", **more}
        method = getattr(service(client, cloud.grpc), "upload_model" if kind == "model" else f"create_{kind}")
        answer = method(request={"parent": parent, kind: resource, **more})
        return answer.result(timeout=20) if kind == "model" else answer

    return create


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"), [(k, *row) for k, found in KINDS.items() for row in found[-1]]
)
def test_one_wrong_field_is_refused(create, kind, path, value, said):
    with pytest.raises((exceptions.InvalidArgument, exceptions.FailedPrecondition), match=re.escape(said)):
        create(kind, path, value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_is_taken(create, kind):
    assert create(kind)


@pytest.mark.parametrize(
    ("parent", "error"),
    [
        ("projects/other/locations/us-central1", exceptions.PermissionDenied),
        ("projects/my-project/locations/mars-north1", exceptions.InvalidArgument),
        ("my-project", exceptions.InvalidArgument),
    ],
)
def test_a_wrong_place_is_refused(create, parent, error):
    with pytest.raises(error):
        create("pipeline_job", parent=parent)


@pytest.mark.parametrize("job_id", ["Job", "1job", "job_1", "j" * 129])
def test_a_wrong_job_id_is_refused(create, job_id):
    with pytest.raises(exceptions.InvalidArgument, match=job_id):
        create("pipeline_job", pipeline_job_id=job_id)


def test_what_control_does_not_know_is_refused(cloud):
    with pytest.raises(ValueError, match=r"unknown command: holt"):
        cloud.control(holt=True)
    with pytest.raises(ValueError, match="none of gRPC's"):
        cloud.control(fault={"method": "X", "code": "BROKEN"})
