"""KServe's manifest of a registered version: the server of our own as a custom predictor."""

import re
from typing import Any

import yaml

from components.common.image_names import SERVING_IMAGE

FILE = "inference_service.yaml"
_MOST_LETTERS = 63  # of a name in Kubernetes


def manifest(name: str, storage: str, image: str = SERVING_IMAGE) -> str:
    """An InferenceService that serves a version, for `kubectl apply`.

    KServe copies what `STORAGE_URI` of the container `kserve-container` names to /mnt/models, where the server looks:
    github.com/kserve/kserve, pkg/apis/serving/v1beta1/predictor_custom.go and pkg/constants/constants.go.

    Args:
        name: The model's; letters that Kubernetes doesn't allow become "-".
        storage: Where the version lies: gs://bucket/folder, pvc://claim/folder and others of KServe's.
        image: The serving image.
    """
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MOST_LETTERS].rstrip("-")
    name = name if name[:1].isalpha() else f"m-{name}"
    container: dict[str, Any] = {
        "name": "kserve-container",
        "image": image,
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": "STORAGE_URI", "value": storage}, {"name": "MODEL_NAME", "value": name}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
        "securityContext": {"runAsNonRoot": True},
    }
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"containers": [container]}},
    }
    return yaml.safe_dump(service, sort_keys=False)
