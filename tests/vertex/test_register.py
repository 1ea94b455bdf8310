"""Vertex AI's Model Registry, endpoints and batch predictions, against a server that speaks the real protocol."""

import json
import os
import subprocess
import sys

import pytest
from google.cloud.aiplatform_v1 import EndpointServiceClient, ModelServiceClient
from kfp import dsl

from components import cloud as google
from components import files
from components.errors import InputError
from components.exported import GOLDEN, Blessing, Exported, Golden, digest
from components.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.register.component import register_component
from components.register.deploy import split
from components.register.vertex import register_on_vertex

PARENT = "projects/my-project/locations/us-central1"
RUN = "gs://bucket/runs/123456789012/families-1"


@pytest.fixture
def bucket(cloud, monkeypatch):
    monkeypatch.setattr(files, "MOUNT", cloud.folder / "buckets")
    cloud.control(operation_seconds=0)
    return cloud


def vertex(**options):
    return google.Vertex(project="my-project", region="us-central1", labels={"experiment": "families"}, **options)


def board(accuracy=0.9, sha="1" * 64, model="mlp", passed=True):
    metrics = {"accuracy": accuracy, "loss": 0.3, "macro_f1": accuracy - 0.01}
    entry = ModelEntry(
        model=model,
        family="mlp",
        dataset="fashion",
        task="classification",
        rank=1,
        passed=passed,
        reasons=["passes: error 10.00% is 50% below linear (0.2, margin 10%)"],
        metrics=metrics,
        intervals={"accuracy": [accuracy - 0.01, accuracy + 0.01]},
    )
    data = DatasetEntry(
        task="classification",
        source="fashion_mnist",
        splits={"train": 10, "validation": 2, "test": 2},
        sha256=sha,
        baselines={},
    )
    return Leaderboard(
        experiment="families",
        run="families-1",
        pipeline_sha256="2" * 64,
        code_version="x",
        created="2026-01-01T00:00:00+00:00",
        datasets={"fashion": data},
        models=[entry],
    )


GOLD = Golden(instances=[{"image": [[[0], [255]]]}, {"image": [[[3], [4]]]}], predictions=[[0.25, 0.75], [0.5, 0.5]])


def export(cloud, name="export-mlp_1", faults=()):
    cloud.put(f"{RUN}/{name}/exported/saved_model/saved_model.pb", b"model")
    cloud.put(f"{RUN}/{name}/exported/{GOLDEN}", GOLD.model_dump_json())
    folder = cloud.file(f"{RUN}/{name}/exported")
    blessing = Blessing(saved_model_sha256=digest(folder / "saved_model"), faults=list(faults))
    made = Exported(model="mlp", formats={}, blessing=blessing)
    cloud.put(f"{RUN}/{name}/exported/export.json", made.model_dump_json())
    return folder


def answers(cloud, predictions=None):
    cloud.control(predict={"predictions": GOLD.predictions if predictions is None else predictions})


def register(cloud, leaderboard=None, **options):
    return register_on_vertex(vertex(**options), leaderboard or board(), "fashion", export(cloud))


def models(cloud):
    return ModelServiceClient(client_options={"api_endpoint": cloud.grpc})


def endpoints(cloud):
    service = EndpointServiceClient(client_options={"api_endpoint": cloud.grpc})
    return list(service.list_endpoints(parent=PARENT))


def test_a_winner_is_uploaded_with_its_metrics(bucket):
    said = register(bucket)
    assert "mlp is registered as projects/123456789012/locations/us-central1/models/" in said
    (asked,) = bucket.requests("UploadModel")
    model = asked["request"]["model"]
    assert model["display_name"] == "families-fashion"
    assert model["artifact_uri"] == f"{RUN}/export-mlp_1/exported/saved_model"
    assert model["labels"] == {
        "experiment": "families",
        "family": "mlp",
        "model": "mlp",
        "dataset": "1" * 16,
        "pipeline": "2" * 16,
    }
    (found,) = models(bucket).list_models(parent=PARENT)
    assert sorted(found.version_aliases) == ["current", "default"]
    (evaluation,) = models(bucket).list_model_evaluations(parent=f"{found.name}@1")
    assert evaluation.metrics["logLoss"] == 0.3
    assert evaluation.metadata["accuracy"] == 0.9
    assert "classification_metrics" in evaluation.metrics_schema_uri


def test_a_better_one_becomes_the_current_version_and_a_worse_one_does_not(bucket):
    register(bucket, board(0.90))
    assert "is not registered, version 1 has accuracy 0.9, it has 0.89" in register(bucket, board(0.89))
    assert "is not registered" in register(bucket, board(0.90)), "no better is not good enough"
    assert len(bucket.requests("UploadModel")) == 1
    assert register(bucket, board(0.91)).endswith("@2")
    (found,) = models(bucket).list_models(parent=PARENT)
    current = models(bucket).get_model(name=f"{found.name.partition('@')[0]}@current")
    assert current.version_id == "2"
    assert "default" in current.version_aliases


def test_one_that_was_measured_on_other_data_takes_the_place(bucket):
    register(bucket, board(0.95))
    assert register(bucket, board(0.90, sha="3" * 64)).endswith("@2")


def test_a_version_whose_metrics_are_refused_is_taken_back(bucket):
    bucket.control(permissions={"deny": ["aiplatform.modelEvaluations.import"]})
    with pytest.raises(InputError, match=r"registering mlp as families-fashion"):
        register(bucket)
    assert not list(models(bucket).list_models(parent=PARENT))
    bucket.control(permissions={"deny": []})
    register(bucket)
    bucket.control(permissions={"deny": ["aiplatform.modelEvaluations.import"]})
    with pytest.raises(InputError):
        register(bucket, board(0.95))
    (found,) = models(bucket).list_models(parent=PARENT)
    assert found.version_id == "1"
    assert "current" in found.version_aliases


def test_it_may_be_left_alone(bucket):
    assert "vertex.register_models is false" in register(bucket, register_models=False)
    assert not bucket.requests("UploadModel")


def test_the_component_registers_what_passed(bucket, tmp_path):
    for passed, said in ((True, "is registered as"), (False, "no best model that passed its gate")):
        leaderboard = dsl.Artifact(name="leaderboard", uri=str(tmp_path / f"board-{passed}"))
        files.write_text(tmp_path / f"board-{passed}" / "leaderboard.json", board(passed=passed).model_dump_json())
        registration = dsl.Artifact(name="registration", uri=str(tmp_path / f"registration-{passed}"))
        exported = dsl.Model(name="exported", uri=str(export(bucket)))
        component = register_component(["mlp"])
        component.python_func("", vertex().model_dump_json(), "x", leaderboard, registration, export_mlp=exported)
        assert said in json.loads((tmp_path / f"registration-{passed}" / "registration.json").read_text())[0]
    assert len(bucket.requests("UploadModel")) == 1


def test_a_model_without_a_blessing_is_not_uploaded(bucket, tmp_path):
    files.write_text(tmp_path / "board" / "leaderboard.json", board().model_dump_json())
    leaderboard = dsl.Artifact(name="leaderboard", uri=str(tmp_path / "board"))
    registration = dsl.Artifact(name="registration", uri=str(tmp_path / "registration"))
    exported = dsl.Model(name="exported", uri=str(export(bucket, faults=["takes no image"])))
    component = register_component(["mlp"])
    component.python_func("", vertex().model_dump_json(), "x", leaderboard, registration, export_mlp=exported)
    said = json.loads((tmp_path / "registration" / "registration.json").read_text())
    assert said == ["fashion: mlp is not registered, its SavedModel takes no image"]
    assert not bucket.requests("UploadModel")


def test_a_winner_is_deployed_and_asked(bucket):
    answers(bucket)
    account = "runner@my-project.iam.gserviceaccount.com"
    said = register(bucket, deploy=True, service_account=account)
    assert "deployed to projects/123456789012/locations/us-central1/endpoints/" in said
    assert said.endswith("with 100 % of the requests")
    (endpoint,) = endpoints(bucket)
    assert endpoint.display_name == "families-fashion"
    (deployed,) = endpoint.deployed_models
    assert dict(endpoint.traffic_split) == {deployed.id: 100}
    assert deployed.service_account == account
    assert deployed.dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    (asked,) = bucket.requests("Predict")
    assert asked["request"]["instances"] == GOLD.instances


def test_the_next_one_gets_its_share_of_the_requests(bucket):
    answers(bucket)
    register(bucket, deploy=True)
    register(bucket, board(0.95), deploy=True, traffic=20)
    (endpoint,) = endpoints(bucket)
    assert sorted(endpoint.traffic_split.values()) == [20, 80]
    register(bucket, board(0.96), deploy=True, traffic=100)
    (endpoint,) = endpoints(bucket)
    assert list(endpoint.traffic_split.values()) == [100], "one without requests costs as much as one with them"
    assert len(endpoint.deployed_models) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictions": [[0.3, 0.7], [0.5, 0.5]]},
        {"predictions": [[0.25, 0.75]]},
        {"predictions": ["error", "error"]},
        {"outcome": "FAILED", "message": "no such signature", "code": "INVALID_ARGUMENT"},
    ],
    ids=["others", "fewer", "no numbers", "refused"],
)
def test_a_wrong_answer_is_rolled_back(bucket, wrong):
    answers(bucket)
    register(bucket, deploy=True)
    (before,) = endpoints(bucket)
    bucket.control(predict=wrong)
    with pytest.raises((RuntimeError, InputError)):
        register(bucket, board(0.95), deploy=True, traffic=50)
    (after,) = endpoints(bucket)
    assert dict(after.traffic_split) == dict(before.traffic_split)
    assert [m.id for m in after.deployed_models] == [m.id for m in before.deployed_models]


def test_a_first_one_that_answers_wrongly_leaves_no_endpoint(bucket):
    answers(bucket, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(RuntimeError, match="answers the golden request wrongly"):
        register(bucket, deploy=True)
    assert not endpoints(bucket)


def test_a_version_that_is_not_deployed_is_not_current_either(bucket):
    answers(bucket)
    register(bucket, deploy=True)
    answers(bucket, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(RuntimeError):
        register(bucket, board(0.95), deploy=True)
    (found,) = models(bucket).list_models(parent=PARENT)
    assert found.version_id == "1"
    assert sorted(found.version_aliases) == ["current", "default"]
    versions = models(bucket).list_model_versions(name=found.name.partition("@")[0])
    assert [version.version_id for version in versions] == ["1"], "it was taken back"
    answers(bucket)
    assert "is registered as" in register(bucket, board(0.95), deploy=True), "the next run tries it again"


def test_a_deployment_that_is_refused_leaves_no_endpoint(bucket):
    bucket.control(permissions={"deny": ["aiplatform.endpoints.deploy"]})
    with pytest.raises(InputError, match=r"deploying .*the permission aiplatform\.endpoints\.deploy is missing"):
        register(bucket, deploy=True)
    assert not endpoints(bucket)
    bucket.control(
        permissions={"deny": []},
        operation={"method": "DeployModel", "code": "RESOURCE_EXHAUSTED", "message": "no room"},
    )
    with pytest.raises(InputError, match="a quota is used up"):
        register(bucket, board(0.95), deploy=True)
    assert not endpoints(bucket)
    assert not list(models(bucket).list_models(parent=PARENT))


@pytest.mark.parametrize(
    ("before", "share", "after"),
    [
        ({}, 10, {"0": 100}),
        ({"a": 100}, 100, {"a": 0, "0": 100}),
        ({"a": 100}, 10, {"a": 90, "0": 10}),
        ({"a": 50, "b": 50}, 33, {"a": 34, "b": 33, "0": 33}),
        ({"a": 1, "b": 99}, 50, {"a": 1, "b": 49, "0": 50}),
        ({"a": 34, "b": 33, "c": 33}, 1, {"a": 33, "b": 33, "c": 33, "0": 1}),
    ],
)
def test_shares_are_whole_and_sum_to_a_hundred(before, share, after):
    got = split(before, "0", share)
    assert sum(got.values()) == 100
    assert got == after


@pytest.mark.parametrize(
    ("predictions", "agrees"),
    [
        ([[0.25, 0.75], [0.5, 0.5]], True),
        ([{"probabilities": [0.25, 0.75]}, {"probabilities": [0.5, 0.5]}], True),
        ([[0.2501, 0.7499], [0.5, 0.5]], True),
        ([[0.26, 0.74], [0.5, 0.5]], False),
        ([[float("nan"), 0.75], [0.5, 0.5]], False),
        ([[0.25, 0.75, 0.0], [0.5, 0.5]], False),
        ([[0.25, None], [0.5, 0.5]], False),
        ([{"a": [0.25, 0.75], "b": []}, {"a": [0.5, 0.5], "b": []}], False),
        ("nonsense", False),
    ],
)
def test_what_agrees_with_a_golden_answer(predictions, agrees):
    assert GOLD.agrees(predictions, 1e-3) is agrees


def batch(cloud, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "batch-predict", *arguments],
        env={**os.environ, **cloud.environment(), "GOOGLE_CLOUD_REGION": "us-central1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_batch_predictions_of_a_prefix(bucket):
    register(bucket)
    bucket.control(batch_job={"seconds": 0})
    bucket.put("gs://bucket/in/a.jsonl", '{"image": [[[0], [255]]]}\n')
    done = batch(
        bucket, "families-fashion@current", "--input", "gs://bucket/in/", "--output", "gs://bucket/out", "--wait"
    )
    assert done.returncode == 0, done.stderr
    assert "predictions: gs://bucket/out/" in done.stdout
    (asked,) = bucket.requests("CreateBatchPredictionJob")
    job = asked["request"]["batch_prediction_job"]
    assert job["model"].endswith("@current")
    assert job["input_config"] == {"instances_format": "jsonl", "gcs_source": {"uris": ["gs://bucket/in/*.jsonl"]}}

    bucket.control(batch_job={"outcome": "FAILED", "message": "row 3 is no JSON"})
    done = batch(
        bucket, "families-fashion", "--input", "gs://bucket/in/a.jsonl", "--output", "gs://bucket/out", "--wait"
    )
    assert done.returncode == 2
    assert "failed: row 3 is no JSON" in done.stderr
    for arguments, said in [
        (
            ["families-none", "--input", "gs://bucket/in/", "--output", "gs://bucket/out"],
            "model families-none: there is none",
        ),
        (["families-fashion", "--input", "in.jsonl", "--output", "gs://bucket/out"], "--input: 'in.jsonl'"),
        (
            ["families-fashion", "--input", "gs://bucket/in/a.png", "--output", "gs://bucket/out"],
            "expected files that end",
        ),
    ]:
        done = batch(bucket, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
