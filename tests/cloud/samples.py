"""Requests that the server takes, for tests that change one thing in them."""

import copy
from typing import Any

from client import PARENT, Cloud
from google.api_core.future.polling import DEFAULT_POLLING
from google.cloud import aiplatform_v1 as v1
from google.protobuf.json_format import ParseDict

IMAGE = "us-central1-docker.pkg.dev/my-project/images/keras-pipeline-python@sha256:" + "a" * 64
SERVING = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
# Names of a, b and c; b and c need a; d needs b.
_NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": ["b"]}


def service(cls: Any, cloud: Cloud) -> Any:
    """A client of Google's for a service."""
    return cls(client_options={"api_endpoint": cloud.grpc})


def finished(operation: Any) -> Any:
    """The result of a long-running operation, asked for more often than by default."""
    return operation.result(timeout=20, polling=DEFAULT_POLLING.with_delay(initial=0.02, maximum=0.1))


def set_at(value: Any, path: str, new: Any) -> None:
    """Set a value in dictionaries and lists: `pools.0.count`; None removes it."""
    *parents, last = path.split(".")
    for part in parents:
        value = value[int(part)] if isinstance(value, list) else value.setdefault(part, {})
    key = int(last) if isinstance(value, list) else last
    if new is None:
        del value[key]
    else:
        value[key] = new


def spec() -> dict[str, Any]:
    """A compiled pipeline of four tasks."""
    tasks = {
        name: {
            "componentRef": {"name": f"comp-{name}"},
            "dependentTasks": needs,
            "inputs": {"parameters": {"text": {"componentInputParameter": "text"}}},
            "taskInfo": {"name": name},
        }
        for name, needs in _NEEDS.items()
    }
    component = {"inputDefinitions": {"parameters": {"text": {"parameterType": "STRING"}}}}
    parameters = {
        "text": {"parameterType": "STRING", "defaultValue": "hello"},
        "count": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
        "needed": {"parameterType": "STRING"},
    }
    accelerator = {"resourceType": "NVIDIA_TESLA_T4", "resourceCount": "1", "type": "NVIDIA_TESLA_T4", "count": "1"}
    return {
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "pipelineInfo": {"name": "sample"},
        "root": {"inputDefinitions": {"parameters": parameters}, "dag": {"tasks": tasks}},
        "components": {f"comp-{name}": {**component, "executorLabel": f"exec-{name}"} for name in _NEEDS},
        "deploymentSpec": {
            "executors": {
                f"exec-{name}": {
                    "container": {
                        "image": IMAGE,
                        **({"resources": {"accelerator": accelerator}} if name == "d" else {}),
                    }
                }
                for name in _NEEDS
            }
        },
    }


def pipeline_dict() -> dict[str, Any]:
    """A pipeline job as JSON."""
    return {
        "display_name": "sample",
        "labels": {"experiment": "sample"},
        "pipeline_spec": spec(),
        "runtime_config": {"gcs_output_directory": "gs://bucket/runs", "parameter_values": {"needed": "x"}},
    }


def custom_dict() -> dict[str, Any]:
    """A custom job of two pools as JSON."""
    pool = {
        "machine_spec": {
            "machine_type": "n1-standard-8",
            "accelerator_type": "NVIDIA_TESLA_T4",
            "accelerator_count": 1,
        },
        "replica_count": 1,
        "container_spec": {"image_uri": IMAGE, "command": ["python3", "-c"], "args": ["print('hello')"]},
        "disk_spec": {"boot_disk_size_gb": 100},
    }
    return {
        "display_name": "sample",
        "labels": {"experiment": "sample"},
        "job_spec": {
            "worker_pool_specs": [pool, copy.deepcopy(pool)],
            "base_output_directory": {"output_uri_prefix": "gs://bucket/job"},
            "scheduling": {"timeout": "3600s", "strategy": "SPOT"},
        },
    }


def message(cls: Any, content: dict[str, Any]) -> Any:
    """A message of JSON."""
    made = cls()
    ParseDict(content, cls.pb(made))
    return made


def submit(cloud: Cloud, job_id: str = "job", **changes: Any) -> Any:
    """Create the sample pipeline job; `changes` have __ for dots."""
    content = pipeline_dict()
    for path, value in changes.items():
        set_at(content, path.replace("__", "."), value)
    return service(v1.PipelineServiceClient, cloud).create_pipeline_job(
        parent=PARENT, pipeline_job=message(v1.PipelineJob, content), pipeline_job_id=job_id, retry=None
    )


def saved_model(cloud: Cloud, uri: str = "gs://bucket/model") -> str:
    """Put a file where a SavedModel has one."""
    cloud.put(f"{uri}/saved_model.pb", b"model")
    return uri


def upload(cloud: Cloud, parent: str = "", **fields: Any) -> Any:
    """Upload a model or, with a parent, a version of it."""
    content = {
        "display_name": "sample",
        "artifact_uri": saved_model(cloud),
        "container_spec": {"image_uri": SERVING},
        **fields,
    }
    request = {"parent": PARENT, "parent_model": parent, "model": message(v1.Model, content)}
    return finished(service(v1.ModelServiceClient, cloud).upload_model(request=request))


def state_of(thing: Any) -> str:
    """A state without its enumeration's prefix."""
    return str(thing.state.name).removeprefix("PIPELINE_STATE_").removeprefix("JOB_STATE_")
