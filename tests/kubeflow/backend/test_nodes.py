"""Kubernetes' own scheduler puts each training on the machine that its model names, and nowhere else.

The machines are nodes without a kubelet, with the labels, the taints and the resources that GKE's nodes have.
"""

import time

import pytest
import yaml
from cluster import NAMESPACE, task_of
from kubernetes import client
from runs import ROOT, Run, compiled

MODEL = "  {model}: {{family: lstm, dataset: demand, epochs: 1, machine: {name}, hyperparameters: {{units: 8}}}}\n"
SPOT = "spot: {machine_type: g2-standard-8, accelerator: NVIDIA_L4, count: 1, spot: true, timeout_hours: 2}\n"
OTHER = "other: {machine_type: e2-standard-4, node_selector: {pool: trainings}}\n"
GPU_IMAGE, TPU_IMAGE = (f"registry.invalid/python-{kind}@sha256:{'1' * 64}" for kind in ("gpu", "tpu"))
GPU, TPU = "nvidia.com/gpu", "google.com/tpu"
GPU_LABEL, SPOT_LABEL = "cloud.google.com/gke-accelerator", "cloud.google.com/gke-spot"
TPU_LABELS = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "2x2",
}
# What a pod can have of GKE's nodes, each with the machine's labels and taints. A node comes once the pod of the one
# before has its place, so a pod that could go to a smaller or another machine would be seen there.
NODES = {
    "cpu-small": ({"cpu": "3.92", "memory": "13.3Gi"}, {}, {}),
    "cpu-large": ({"cpu": "15.89", "memory": "56.9Gi"}, {}, {}),
    "other": ({"cpu": "3.92", "memory": "13.3Gi"}, {"pool": "trainings"}, {}),
    "spot": ({GPU: "1"}, {GPU_LABEL: "nvidia-l4", SPOT_LABEL: "true"}, {GPU: "present", SPOT_LABEL: "true"}),
    "gpu-l4": ({GPU: "1"}, {GPU_LABEL: "nvidia-l4"}, {GPU: "present"}),
    "multi-gpu": ({GPU: "2"}, {GPU_LABEL: "nvidia-l4"}, {GPU: "present"}),
    "gpu-t4": ({GPU: "1"}, {GPU_LABEL: "nvidia-tesla-t4"}, {GPU: "present"}),
    "gpu-a100": ({GPU: "1"}, {GPU_LABEL: "nvidia-tesla-a100"}, {GPU: "present"}),
    "gpu-h100": ({GPU: "8"}, {GPU_LABEL: "nvidia-h100-80gb"}, {GPU: "present"}),
    "tpu-v5e": ({TPU: "4"}, TPU_LABELS, {TPU: "present"}),
}


def add_node(name, resources, labels, taints):
    """A node that is ready, and does nothing."""
    api = client.CoreV1Api()
    taints = [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in taints.items()]
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **labels}
    api.create_node({"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}})
    resources = {"cpu": "100", "memory": "900Gi", "pods": "110", **resources}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    api.patch_node_status(name, {"status": {"capacity": resources, "allocatable": resources, "conditions": [ready]}})


@pytest.fixture
def trainings(cluster, tmp_path):
    """What gives the specifications of a run's pods, a training on each machine, by the machine's name."""
    machines = (ROOT / "configs/machines.yaml").read_text("utf-8") + SPOT + OTHER
    config = "datasets:\n  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}\nmodels:\n"
    config += "".join(MODEL.format(model=name.replace("-", "_"), name=name) for name in NODES)
    images = {"IMAGE": cluster.image, "IMAGE_GPU": GPU_IMAGE, "IMAGE_TPU": TPU_IMAGE}
    run = Run(cluster, compiled(tmp_path, config, machines, **images))

    def pods():
        by_task = {task_of(pod): pod.spec for pod in cluster.run_pods(run.id)}
        return {name: by_task[f"train-{name}"] for name in NODES if f"train-{name}" in by_task}

    wait(lambda: len(pods()) == len(NODES), 900)
    yield pods
    run.terminate()
    for pod in cluster.run_pods(run.id):
        cluster.pods.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
    for node in cluster.pods.list_node().items:
        if node.metadata.name in NODES:
            cluster.pods.delete_node(node.metadata.name)


def wait(answers, seconds):
    end = time.monotonic() + seconds
    while not answers():
        assert time.monotonic() < end
        time.sleep(1)


def test_each_training_is_put_on_its_machine(trainings, cluster):
    table = yaml.safe_load((ROOT / "configs/machines.yaml").read_text("utf-8"))
    assert table.keys() - NODES.keys() == {"multi-worker"}  # which Vertex AI alone has
    places = dict.fromkeys(NODES)
    for name, node in NODES.items():
        assert {key: pod.node_name for key, pod in trainings().items()} == places
        add_node(name, *node)
        wait(lambda name=name: trainings()[name].node_name, 120)
        places[name] = name
    pods = trainings()
    assert {key: pod.node_name for key, pod in pods.items()} == places

    mains = {name: next(one for one in pod.containers if one.name == "main") for name, pod in pods.items()}
    for name, (resources, _, _) in NODES.items():
        chips = {key: value for key, value in resources.items() if key in (GPU, TPU)}
        limits, user = mains[name].resources.limits or {}, mains[name].security_context
        assert {key: value for key, value in limits.items() if key in (GPU, TPU)} == chips
        assert mains[name].image == (GPU_IMAGE if GPU in chips else TPU_IMAGE if TPU in chips else cluster.image)
        assert (user.run_as_user, user.run_as_group, user.run_as_non_root) == (1000, 1000, True)
        assert (user.allow_privilege_escalation, user.capabilities.drop) == (False, ["ALL"])
        assert pods[name].active_deadline_seconds == {"spot": 7200, "tpu-v5e": 86400}.get(name)
    assert mains["cpu-small"].resources.requests == {"cpu": "3200m", "memory": "12800M"}
    assert mains["cpu-large"].resources.requests == {"cpu": "12800m", "memory": "51200M"}
