"""Requests that the server takes, for tests that change one thing in them."""

import copy
from typing import Any

from client import PARENT, Cloud
from google.protobuf.json_format import ParseDict

IMAGE = "us-central1-docker.pkg.dev/my-project/images/keras-pipeline-python@sha256:" + "a" * 64
# Names of a, b and c; b and c need a; d needs b.
_NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": ["b"]}


def service(cls: Any, cloud: Cloud) -> Any:
    """A client of Google's for a service."""
    return cls(client_options={"api_endpoint": cloud.grpc})


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


def message(cls: Any, content: dict[str, Any]) -> Any:
    """A message of JSON."""
    made = cls()
    ParseDict(content, cls.pb(made))
    return made


def _spec() -> dict[str, Any]:
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


PIPELINE: dict[str, Any] = {
    "display_name": "sample",
    "labels": {"experiment": "sample"},
    "pipeline_spec": _spec(),
    "runtime_config": {"gcs_output_directory": "gs://bucket/runs", "parameter_values": {"needed": "x"}},
}
_POOL = {
    "machine_spec": {
        "machine_type": "n1-standard-8",
        "accelerator_type": "NVIDIA_TESLA_T4",
        "accelerator_count": 1,
    },
    "replica_count": 1,
    "container_spec": {"image_uri": IMAGE, "command": ["python3", "-c"], "args": ["print('hello')"]},
    "disk_spec": {"boot_disk_size_gb": 100},
}
CUSTOM: dict[str, Any] = {
    "display_name": "sample",
    "labels": {"experiment": "sample"},
    "job_spec": {
        "worker_pool_specs": [_POOL, copy.deepcopy(_POOL)],
        "base_output_directory": {"output_uri_prefix": "gs://bucket/job"},
        "scheduling": {"timeout": "3600s", "strategy": "SPOT"},
    },
}
SCHEDULE = {
    "display_name": "nightly",
    "cron": "TZ=Europe/Berlin 0 3 * * 1-5",
    "max_concurrent_run_count": 1,
    "create_pipeline_job_request": {"parent": PARENT, "pipeline_job": PIPELINE},
}
MODEL = {
    "display_name": "sample",
    "artifact_uri": "gs://bucket/model",
    "container_spec": {"image_uri": "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"},
}
