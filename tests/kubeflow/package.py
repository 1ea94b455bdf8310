"""Reads an uploaded pipeline by Kubeflow's own messages, and refuses what a cluster couldn't run."""

import re
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec import pipeline_spec_pb2

SCHEMA = "2.1.0"
# As Kubernetes names extended resources: domain/name.
_RESOURCE = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


class ApiError(Exception):
    """What a caller is refused with: an HTTP status and a message."""


def read(content: bytes | None) -> dict[str, Any]:
    """The pipeline of a package.

    Raises:
        ApiError: A cluster couldn't run it.
    """
    try:
        spec, platform = yaml.safe_load_all((content or b"").decode())
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            json_format.ParseDict(config, KubernetesExecutorConfig())
    except (yaml.YAMLError, ValueError, AttributeError, json_format.ParseError) as error:
        raise ApiError(400, f"Invalid input error: no pipeline with a platform: {error}") from None
    if spec["schemaVersion"] != SCHEMA:
        raise ApiError(400, f"Invalid input error: schemaVersion {spec['schemaVersion']}, expected {SCHEMA}")
    for label, executor in spec["deploymentSpec"]["executors"].items():
        accelerator = executor["container"].get("resources", {}).get("accelerator")
        # What a cluster doesn't know as a resource leaves the pod pending for ever.
        if accelerator and not all(_RESOURCE.fullmatch(accelerator[key]) for key in ("resourceType", "type")):
            raise ApiError(400, f"Invalid input error: executor {label}: {accelerator} is no resource of Kubernetes")
    return dict(spec)
