"""KServe's manifest of a registered version, with this project's server as a custom predictor."""

import re
from pathlib import Path

import yaml

from components.common.image_names import SERVING_IMAGE

FILE = "inference_service.yaml"
# The longest name in Kubernetes.
_MOST_LETTERS = 63
# Where Kubeflow's pods have their PersistentVolumeClaims, by name.
CLAIMS = Path("/pvc")


def address(folder: Path) -> str:
    """The address by which a cluster finds a folder; "" for one of this machine, which it can't read."""
    return f"pvc://{folder.relative_to(CLAIMS)}" if folder.is_relative_to(CLAIMS) else ""


def manifest(name: str, storage: str, image: str = SERVING_IMAGE) -> str:
    """Write an InferenceService that serves a version, for `kubectl apply`.

    KServe copies the folder that `STORAGE_URI` of the container `kserve-container` names to /mnt/models, which the
    server reads. Source: github.com/kserve/kserve, pkg/apis/serving/v1beta1/predictor_custom.go and
    pkg/constants/constants.go.

    Args:
        name: The model's name. Characters that Kubernetes doesn't allow become "-".
        storage: The address of the version's folder: gs://bucket/folder, pvc://claim/folder or another of KServe's.
        image: The serving image.
    """
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MOST_LETTERS].rstrip("-")
    name = name if name[:1].isalpha() else f"m-{name}"
    container = {
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
