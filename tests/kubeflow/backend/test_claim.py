"""What lies in a claim outlives a pod, on Kubeflow's own programs. The claim is made as docs/kubeflow.md says."""

import re
import time

import pytest
import yaml
from cluster import NAMESPACE
from kubernetes import client, utils
from runs import ROOT, leaderboard_here, leaderboard_there

EPOCHS = 200


@pytest.fixture
def volume(cluster):
    """The folder of a volume that the documentation's claim takes, once its job has prepared it."""
    folder = cluster.state / "volume"
    folder.mkdir()
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}
    spec = {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteMany"], "local": {"path": str(folder)}}
    spec |= {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}}}
    client.CoreV1Api().create_persistent_volume({"metadata": {"name": "volume"}, "spec": spec})
    page = (ROOT / "docs/kubeflow.md").read_text("utf-8")
    (said,) = re.findall(r"```yaml\n(apiVersion: v1\nkind: PersistentVolumeClaim\n.*?)```", page, re.DOTALL)
    for one in yaml.safe_load_all(said.replace("REGISTRY/keras-pipeline-python@sha256:…", cluster.image)):
        utils.create_from_dict(client.ApiClient(), one, namespace=NAMESPACE)
    end = time.monotonic() + 300
    while not client.BatchV1Api().read_namespaced_job("prepare-keras-pipeline", NAMESPACE).status.succeeded:
        assert time.monotonic() < end
        time.sleep(1)
    return folder


def test_a_training_whose_pod_is_deleted_goes_on_from_its_checkpoint_in_the_claim(run, volume, tmp_path):
    one = run(EPOCHS, more="kubeflow: {claim: keras-pipeline}\n")
    first = one.training(epoch=20).metadata
    one.cluster.pods.delete_namespaced_pod(first.name, NAMESPACE)
    said = one.cluster.log(one.training(beside=first.uid))
    assert int(re.search(r"^going on from the checkpoint after epoch (\d+)", said, re.MULTILINE)[1]) >= 19, said
    assert one.end()[1] == ""
    assert leaderboard_there(one.id) == leaderboard_here(
        tmp_path, tmp_path / "kf_small.yaml", "--set", "models.lstm.machine=cpu-small"
    )
    registered = volume / "registry/kf_small/demand"
    assert (registered / "current").resolve() == registered / "1"
    service = yaml.safe_load((registered / "1/inference_service.yaml").read_text("utf-8"))
    assert "pvc://keras-pipeline/registry/kf_small/demand/1" in str(service)
