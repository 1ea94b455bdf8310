"""What Kubernetes is told of each task's pod, as Kubeflow's own message reads it."""

from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from components.common.errors import InputError
from components.common.image_names import SERVING_IMAGE
from components.register import kserve
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CONFIG = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4}
  mlp: {family: mlp, dataset: demand, tune: {trials: 2, ranges: {batch_size: {values: [16, 32]}}}}
"""
KEEPS = {"train-lstm", "train-mlp", "tune-mlp", "register"}


@pytest.fixture
def pods(tmp_path):
    """What each task's executor asks of Kubernetes, and the pipeline."""
    path = tmp_path / "kf_small.yaml"
    path.write_text(CONFIG)

    def compile_it(*overrides):
        file, _ = compile_experiment(load_experiment(path, list(overrides)), tmp_path, "kubeflow")
        spec, platform = yaml.safe_load_all(file.read_text())
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        read = {name: json_format.ParseDict(one, KubernetesExecutorConfig()) for name, one in executors.items()}
        assert read.keys() == spec["deploymentSpec"]["executors"].keys()
        return {name.removeprefix("exec-"): one for name, one in read.items()}, spec

    return compile_it


def test_every_pod_has_a_numeric_user_that_is_not_root(pods):
    for name, pod in pods()[0].items():
        user = pod.security_context
        assert (user.run_as_user, user.run_as_group, user.run_as_non_root) == (1000, 1000, True), name


def test_a_pod_with_a_gpu_tolerates_the_taint_of_its_nodes(pods):
    for name, pod in pods()[0].items():
        keys = [(one.key, one.operator, one.effect) for one in pod.tolerations]
        assert keys == ([("nvidia.com/gpu", "Exists", "NoSchedule")] if name == "train-lstm" else []), name


def test_a_retry_of_a_long_training_has_its_time(pods):
    """Argo starts no retry later than this after the first try's start, and ends one that goes on."""
    task = pods("models.lstm.machine=gpu-a100")[1]["root"]["dag"]["tasks"]["train-lstm"]
    assert task["retryPolicy"]["maxRetryCount"] == 1
    assert int(task["retryPolicy"]["backoffMaxDuration"].removesuffix("s")) >= 30 * 24 * 3600


def default(spec, parameter="registry"):
    return spec["root"]["inputDefinitions"]["parameters"][parameter]["defaultValue"]


def test_what_has_to_outlive_its_pod_lies_in_the_claim(pods):
    found, spec = pods("kubeflow.claim=models")
    for name, pod in found.items():
        mounts = [(one.pvc_name_parameter.runtime_value.constant.string_value, one.mount_path) for one in pod.pvc_mount]
        assert mounts == ([("models", "/pvc/models")] if name in KEEPS else []), name
    assert default(spec) == "/pvc/models/registry"
    assert kserve.address(Path(default(spec))) == "pvc://models/registry"
    assert default(spec, "checkpoints") == "/pvc/models/checkpoints"
    for name in KEEPS - {"register"}:
        given = spec["root"]["dag"]["tasks"][name]["inputs"]["parameters"]["checkpoints"]
        assert given == {"componentInputParameter": "checkpoints"}


def test_without_a_claim_nothing_is_mounted(pods):
    found, spec = pods()
    assert not any(pod.pvc_mount for pod in found.values())
    assert default(spec) == default(spec, "checkpoints") == ""


@pytest.mark.parametrize("claim", [[], ["kubeflow.claim=models"]])
def test_a_registry_in_a_bucket_comes_before_the_claim(pods, claim):
    _, spec = pods("kubeflow.registry=gs://bucket/models", *claim)
    assert default(spec) == "gs://bucket/models"
    register = spec["deploymentSpec"]["executors"]["exec-register"]["container"]
    assert register["env"] == [{"name": "IMAGE_SERVING", "value": SERVING_IMAGE}]


@pytest.mark.parametrize("registry", ["bucket/models", "s3://bucket/models", "gs://", "gs://bucket/a b"])
def test_a_registry_that_is_no_bucket_is_refused(pods, registry):
    with pytest.raises(InputError, match=r"kubeflow\.registry: "):
        pods(f"kubeflow.registry={registry}")
