"""The test server answers kfp.Client as Kubeflow does where the command line doesn't come."""

import warnings

import pytest

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CONFIG = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4, hyperparameters: {units: 8}}
"""
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def client(kubeflow):
    import kfp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kfp.Client(host=kubeflow.host)


@pytest.fixture
def uploaded(client, tmp_path):
    path = tmp_path / "kf_small.yaml"
    path.write_text(CONFIG)
    file, _ = compile_experiment(load_experiment(path, []), tmp_path, "kubeflow")
    pipeline = client.upload_pipeline(str(file), "kf-small").pipeline_id
    for name in ("two", "three"):
        client.upload_pipeline_version(str(file), name, pipeline_id=pipeline)
    return pipeline


def refused(status, call, *arguments, **more):
    from kfp_server_api.exceptions import ApiException

    with pytest.raises(ApiException) as error:
        call(*arguments, **more)
    assert error.value.status == status, error.value


def test_lists_come_in_pages(client, uploaded):
    names, token = [], ""
    while True:
        page = client.list_pipeline_versions(uploaded, page_size=2, page_token=token, sort_by="created_at desc")
        assert page.total_size == 3
        names.append([one.display_name for one in page.pipeline_versions])
        if not (token := page.next_page_token):
            break
    assert names == [["three", "two"], ["kf-small"]]
    assert client.get_pipeline_id("kf-small") == uploaded
    assert client.get_pipeline_id("other") is None
    refused(400, client.list_pipelines, page_token="x")  # noqa: S106
    refused(400, client.list_pipelines, filter="{")


def test_what_is_not_there_is_not_found(client, uploaded):
    group = client.create_experiment("kf-small").experiment_id
    (version, *_) = client.list_pipeline_versions(uploaded).pipeline_versions
    version = version.pipeline_version_id
    assert client.get_pipeline_version(uploaded, version).display_name == "kf-small"
    for call, arguments in (
        (client.get_pipeline, [UNKNOWN]),
        (client.list_pipeline_versions, [UNKNOWN]),
        (client.get_pipeline_version, [uploaded, UNKNOWN]),
        (client.get_pipeline_version, [UNKNOWN, version]),
        (client.delete_pipeline, [UNKNOWN]),
        (client.get_experiment, [UNKNOWN]),
        (client.get_run, [UNKNOWN]),
    ):
        refused(404, call, *arguments)
    for experiment, pipeline, of in (
        (UNKNOWN, uploaded, version),
        (group, UNKNOWN, version),
        (group, uploaded, UNKNOWN),
    ):
        refused(404, client.run_pipeline, experiment, "run", pipeline_id=pipeline, version_id=of)
    for params in ({"other": "x"}, {"registry": 5}, {"registry": True}):
        refused(400, client.run_pipeline, group, "run", params=params, pipeline_id=uploaded, version_id=version)
    run = client.run_pipeline(group, "run", pipeline_id=uploaded, version_id=version)
    assert client.get_run(run.run_id).display_name == "run"
    assert [one.run_id for one in client.list_runs(experiment_id=group).runs] == [run.run_id]


def test_a_pipeline_with_versions_stays(client, uploaded, tmp_path):
    refused(400, client.delete_pipeline, uploaded)
    other = tmp_path / "other.yaml"
    other.write_text("a: pipeline?")
    refused(400, client.upload_pipeline, str(other), "other")
    for version in client.list_pipeline_versions(uploaded).pipeline_versions:
        client.delete_pipeline_version(uploaded, version.pipeline_version_id)
    client.delete_pipeline(uploaded)
    assert client.get_pipeline_id("kf-small") is None


def test_a_single_user_has_no_namespaces_and_several_need_one(client, kubeflow):
    refused(400, client.create_experiment, "group", namespace="team-a")
    kubeflow.control(namespaces=["team-a"])
    refused(400, client.create_experiment, "group")
    refused(403, client.create_experiment, "group", namespace="team-b")
    assert client.create_experiment("group", namespace="team-a").namespace == "team-a"


def test_a_service_that_says_nothing_is_given_up(kubeflow, tmp_path, monkeypatch):
    from pipeline.kubeflow import client
    from pipeline.kubeflow.submit import submit_kubeflow

    path = tmp_path / "kf_small.yaml"
    path.write_text(CONFIG)
    file, _ = compile_experiment(load_experiment(path, []), tmp_path, "kubeflow")
    monkeypatch.setattr(client, "_READ_SECONDS", 0.2)
    kubeflow.fault("GET healthz", seconds=1, times=9)
    with pytest.raises(InputError, match="can't be reached: Read timed out"):
        submit_kubeflow(file, kubeflow.host, "kf_small", "one", {}, None)
