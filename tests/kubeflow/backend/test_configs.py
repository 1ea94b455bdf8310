"""Kubeflow's own API server takes each shipped config, and makes an Argo Workflow of it with all that was compiled."""

import json
import re

import kfp_server_api
import pytest
import yaml
from cluster import HOST
from runs import ROOT, command

from pipeline.kubeflow.client import connect

CONFIGS = sorted(file.stem for file in (ROOT / "configs").glob("*.yaml") if "\nmodels:" in file.read_text("utf-8"))
IMAGES = {
    f"IMAGE{kind}": f"registry.invalid/python{kind.lower()}@sha256:{'1' * 64}" for kind in ("", "_GPU", "_SERVING")
}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_shipped_config_becomes_a_workflow(cluster, tmp_path, config):
    submit = ("submit", str(ROOT / f"configs/{config}.yaml"), "--kubeflow", HOST, "--job-id", config)
    with cluster.paused("workflow-controller"):  # so the run is cancelled before its first task
        said = command(tmp_path, *submit, **IMAGES)
        run_id = re.search(r"/runs/details/(\S+)", said)[1]
        workflow = cluster.workflow(run_id)
        kfp_server_api.RunServiceApi(connect(HOST, None, None)).run_service_terminate_run(run_id)
    given = {one["name"]: json.loads(one["value"]) for one in workflow["spec"]["arguments"]["parameters"]}
    spec, platform = yaml.safe_load_all((tmp_path / f"build/{config}-kubeflow.yaml").read_text("utf-8"))
    assert given["components-root"]["dag"]["tasks"] == spec["root"]["dag"]["tasks"]
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    containers = [one["container"] for one in spec["deploymentSpec"]["executors"].values()]
    for name, component in spec["components"].items():
        assert given[f"kubernetes-{name}"] == pods[component["executorLabel"]]
    implementations = [value for name, value in given.items() if name.startswith("implementations-")]
    assert [one for one in containers if one not in implementations] == []
