"""Vertex AI's Model Registry, endpoints and batch predictions, against a server that speaks the real protocol."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.cloud.aiplatform_v1 import EndpointServiceClient, ModelServiceClient, types
from kfp import dsl
from PIL import Image

from components.artifacts.dataset import load_info
from components.artifacts.export import GOLDEN, ONNX, Blessing, Exported, Golden, digest
from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.artifacts.registration import load_registered
from components.common import files
from components.common.errors import InputError
from components.data import storage
from components.ingest.ingest import ingest
from components.metrics.bootstrap import errors
from components.register import challenge
from components.register import component as registering
from components.register.challenge import Winner
from components.register.deploy import split
from components.register.vertex import register_on_vertex
from components.vertex import client as google
from components.vertex import cloud_storage

PARENT = "projects/my-project/locations/us-central1"
RUN = "gs://bucket/runs/123456789012/families-1"


@pytest.fixture
def bucket(cloud, monkeypatch):
    """The server, with its buckets mounted, where operations take no time."""
    for module in (files, cloud_storage):
        monkeypatch.setattr(module, "MOUNT", cloud.folder / "buckets")
    cloud_storage.local_path.cache_clear()
    cloud.control(operation_seconds=0)
    return cloud


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data set of grey pictures of 1 x 2: dark ones and bright ones, by the value where bright begins."""

    @functools.cache
    def made(bright):
        root = tmp_path_factory.mktemp("pictures")
        for value in range(256):
            folder = root / "classes" / ("bright" if value >= bright else "dark")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((1, 2), value, np.uint8)).save(folder / f"{value}.png")
        options = {"source": "image_folder", "path": str(root / "classes"), "height": 1, "width": 2, "channels": 1}
        ingest("fashion", json.dumps({**options, "test": 0.5}), str(root / "dataset"))
        return root / "dataset"

    return made


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """A SavedModel that takes pictures from a value on for bright."""

    @functools.cache
    def made(bright):
        import tensorflow as tf

        class Model(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 1, 2, 1], tf.uint8, name="image")])
            def serve(self, image):
                return {"probabilities": tf.one_hot(tf.cast(image[:, 0, 0, 0] < bright, tf.int32), 2)}

        folder = tmp_path_factory.mktemp("models") / "saved_model"
        model = Model()
        tf.saved_model.save(model, str(folder), {"serving_default": model.serve})
        return folder

    return made


def vertex(**options):
    place = {"project": "my-project", "region": "us-central1"}
    return google.Vertex(**place, labels={"experiment": "families"}, serving_image="registry/serving", **options)


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


@pytest.fixture
def winner(bucket, data, saved_model, tmp_path):
    """Make a winner: a model that takes pictures from a value on for bright, where the truth is `truth`."""
    made = iter(range(100))

    def winner(bright=100, truth=100, promote=False, faults=(), leaderboard=None):
        name, number = f"{RUN}/export-mlp_{bright}/exported", next(made)
        for path in saved_model(bright).rglob("*"):
            if path.is_file():
                place = f"{name}/saved_model/{path.relative_to(saved_model(bright)).as_posix()}"
                bucket.put(place, path.read_bytes())
        folder = bucket.file(name)
        bucket.put(f"{name}/{ONNX}", b"model")
        bucket.put(f"{name}/{GOLDEN}", GOLD.model_dump_json())
        bucket.put(f"{name}/dataset.json", (data(truth) / "dataset.json").read_bytes())
        blessing = Blessing(saved_model_sha256=digest(folder / "saved_model"), faults=list(faults))
        bucket.put(f"{name}/export.json", Exported(model="mlp", formats={}, blessing=blessing).model_dump_json())
        pictures, labels = storage.load_images(data(truth), load_info(data(truth)), "test")
        evaluation = tmp_path / f"evaluation-{number}"
        evaluation.mkdir()
        answers = np.eye(2)[(pictures[:, 0, 0, 0] < bright).astype(int)]
        np.savez(evaluation / "predictions.npz", target=labels, prediction=answers)
        accuracy = float((answers.argmax(axis=1) == labels).mean())
        leaderboard = leaderboard or board(accuracy)
        return Winner(leaderboard, leaderboard.models[0], str(data(truth)), str(evaluation), folder, promote)

    return winner


@pytest.fixture
def register(winner):
    """Register a winner; the sentence."""

    def register(bright=100, truth=100, promote=False, **options):
        return register_on_vertex(vertex(**options), winner(bright, truth, promote)).sentence

    return register


@pytest.fixture
def in_this_process(monkeypatch):
    """SavedModels are asked by this process, which is faster."""

    def score(saved_model, dataset, info):
        import tensorflow as tf

        model = tf.saved_model.load(str(saved_model))
        pictures, labels = storage.load_images(dataset, info, "test")
        (answers,) = model.signatures["serving_default"](image=tf.constant(pictures)).values()
        return errors(labels, answers.numpy())

    monkeypatch.setattr(challenge, "score", score)


@pytest.fixture
def component(winner, tmp_path):
    """Register a winner by the component; what it gave."""

    def component(**given):
        found = winner(**given)
        folder = Path(found.evaluation).with_name(f"{Path(found.evaluation).name}-board")
        files.write_text(folder / "leaderboard.json", found.board.model_dump_json())
        places = {"leaderboard": folder, "registration": folder / "said"}
        registering.register.python_func(
            registry="", vertex=vertex().model_dump_json(), code_version="x", run="job-1", promote=found.promote,
            datasets={"fashion": str(found.data)}, evaluations={"mlp": str(found.evaluation)},
            exports={"mlp": str(found.export)},
            **{name: dsl.Artifact(name=name, uri=str(path)) for name, path in places.items()},
        )  # fmt: skip
        (done,) = load_registered(folder / "said")
        return done

    return component


def answers(cloud, predictions=None):
    cloud.control(predict={"predictions": GOLD.predictions if predictions is None else predictions})


def models(cloud):
    return ModelServiceClient(client_options={"api_endpoint": cloud.grpc})


def endpoints(cloud):
    service = EndpointServiceClient(client_options={"api_endpoint": cloud.grpc})
    return list(service.list_endpoints(parent=PARENT))


def uploads(bucket):
    return len(bucket.requests("UploadModel"))


def current(bucket):
    """The version with both aliases."""
    (found,) = models(bucket).list_models(parent=PARENT)
    made = models(bucket).get_model(name=f"{found.name.partition('@')[0]}@current")
    assert sorted(made.version_aliases) == ["current", "default"]
    return made.version_id


def test_a_winner_is_uploaded_with_its_metrics(bucket, winner):
    done = register_on_vertex(vertex(), winner(leaderboard=board(0.9)))
    assert (done.action, done.version) == ("registered", "1")
    assert done.path.startswith("projects/123456789012/locations/us-central1/models/")
    assert done.sentence == f"fashion: mlp is registered as {done.path}: accuracy 0.9000"
    (asked,) = bucket.requests("UploadModel")
    model = asked["request"]["model"]
    assert model["display_name"] == "families-fashion"
    assert model["artifact_uri"] == f"{RUN}/export-mlp_100/exported"
    assert model["container_spec"] == {
        "image_uri": "registry/serving",
        "ports": [{"container_port": 8080}],
        "predict_route": "/predict",
        "health_route": "/healthz",
    }
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


def test_a_better_one_becomes_the_current_version_and_a_worse_one_does_not(bucket, register):
    register(bright=130)
    worse = register(bright=180)
    assert worse.startswith("fashion: kept version 1: accuracy 0.8")
    assert " against 0.6" in worse
    assert register(bright=130) == "fashion: mlp is version 1 already"
    assert uploads(bucket) == 1
    better = register(bright=100)
    assert "@2: accuracy 1.0000 against 0.8" in better
    assert current(bucket) == "2"
    assert "kept version 2" in register(bright=130)
    assert uploads(bucket) == 2


def test_what_cannot_be_told_apart_takes_the_place_only_where_it_was_asked_for(bucket, register, in_this_process):
    register(bright=101)
    assert "no clear difference; --promote registers mlp" in register(bright=100)
    assert current(bucket) == "1"
    assert "no clear difference" in register(bright=100, promote=True)
    assert current(bucket) == "2"
    assert "kept version 2" in register(bright=150, promote=True), "a worse one isn't registered, asked for or not"


def test_a_version_that_was_measured_on_other_data_answers_these_first(bucket, register):
    """It was always right where bright began at 100; where it begins at 150, it is wrong of a fifth."""
    register(bright=100)
    kept = register(bright=0, truth=150)
    figures = r"accuracy 0\.[78]\d+ against 0\.[34]\d+ of mlp \(version 1 answered these test examples now\)"
    assert re.fullmatch(f"fashion: kept version 1: {figures}", kept)
    assert uploads(bucket) == 1
    assert "@2: accuracy 1.0000 against 0." in register(bright=150, truth=150)
    assert current(bucket) == "2"


def test_a_version_from_before_the_serving_image_answers_too(bucket, winner, register):
    """It was uploaded as a SavedModel for Google's TensorFlow image; the same model again is worth an upload."""
    winner(bright=130)
    models(bucket).upload_model(
        parent=PARENT,
        model=types.Model(
            display_name="families-fashion",
            artifact_uri=f"{RUN}/export-mlp_130/exported/saved_model",
            container_spec={"image_uri": "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"},
            version_aliases=["current", "default"],
        ),
    ).result()
    assert "kept version 1: accuracy 0." in register(bright=180)
    assert "no clear difference; --promote registers mlp" in register(bright=130)
    assert re.search(r"@2: accuracy 1\.0000 against 0\.\d+ of version 1 \(version 1 answered", register(bright=100))
    assert current(bucket) == "2"


def test_a_version_whose_files_are_gone_is_kept_with_the_reason(bucket, register):
    register(bright=130)
    shutil.rmtree(bucket.file(f"{RUN}/export-mlp_130"))
    kept = register(bright=100)
    assert kept.startswith("fashion: kept version 1: it can't be compared with mlp, ")
    assert "export-mlp_130" in kept
    assert current(bucket) == "1"
    assert "@2" in register(bright=100, promote=True)


def test_a_version_whose_metrics_are_refused_is_taken_back(bucket, register, in_this_process):
    bucket.control(permissions={"deny": ["aiplatform.modelEvaluations.import"]})
    with pytest.raises(InputError, match=r"registering mlp as families-fashion"):
        register(bright=130)
    assert not list(models(bucket).list_models(parent=PARENT))
    bucket.control(permissions={"deny": []})
    register(bright=130)
    bucket.control(permissions={"deny": ["aiplatform.modelEvaluations.import"]})
    with pytest.raises(InputError):
        register(bright=100)
    (found,) = models(bucket).list_models(parent=PARENT)
    assert found.version_id == "1"
    assert "current" in found.version_aliases


def test_it_may_be_left_alone(bucket, register):
    assert "vertex.register_models is false" in register(register_models=False)
    assert not uploads(bucket)


def test_the_component_registers_what_passed(bucket, component):
    assert component(leaderboard=board(passed=False)).action == "refused"
    assert not uploads(bucket)
    done = component()
    assert (done.action, done.version) == ("registered", "1")
    (asked,) = bucket.requests("UploadModel")
    assert "of run job-1." in asked["request"]["model"]["description"]


def test_a_model_without_a_blessing_is_not_uploaded(bucket, component):
    done = component(faults=["takes no image"])
    assert (done.action, done.path) == ("refused", None)
    assert done.sentence == "fashion: mlp is not registered, its SavedModel takes no image"
    assert not uploads(bucket)


def test_a_model_that_the_serving_image_cannot_serve_is_not_uploaded(bucket, winner):
    best = winner()
    (best.export / ONNX).unlink()
    done = register_on_vertex(vertex(), best)
    said = "fashion: mlp is not registered, it has no model.onnx, which the serving image needs"
    assert (done.action, done.sentence) == ("refused", said)
    assert not bucket.requests("UploadModel")


def test_a_winner_is_deployed_and_asked(bucket, register):
    answers(bucket)
    account = "runner@my-project.iam.gserviceaccount.com"
    said = register(bright=130, deploy=True, service_account=account)
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


def test_the_next_one_gets_its_share_of_the_requests(bucket, register, in_this_process):
    answers(bucket)
    register(bright=160, deploy=True)
    register(bright=130, deploy=True, traffic=20)
    (endpoint,) = endpoints(bucket)
    assert sorted(endpoint.traffic_split.values()) == [20, 80]
    register(bright=100, deploy=True, traffic=100)
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
def test_a_wrong_answer_is_rolled_back(bucket, register, in_this_process, wrong):
    answers(bucket)
    register(bright=130, deploy=True)
    (before,) = endpoints(bucket)
    bucket.control(predict=wrong)
    with pytest.raises((RuntimeError, InputError)):
        register(bright=100, deploy=True, traffic=50)
    (after,) = endpoints(bucket)
    assert dict(after.traffic_split) == dict(before.traffic_split)
    assert [m.id for m in after.deployed_models] == [m.id for m in before.deployed_models]


def test_a_first_one_that_answers_wrongly_leaves_no_endpoint(bucket, register):
    answers(bucket, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(RuntimeError, match="answers the golden request wrongly"):
        register(bright=130, deploy=True)
    assert not endpoints(bucket)


def test_a_version_that_is_not_deployed_is_not_current_either(bucket, register, in_this_process):
    answers(bucket)
    register(bright=130, deploy=True)
    answers(bucket, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(RuntimeError):
        register(bright=100, deploy=True)
    (found,) = models(bucket).list_models(parent=PARENT)
    assert found.version_id == "1"
    assert sorted(found.version_aliases) == ["current", "default"]
    versions = models(bucket).list_model_versions(name=found.name.partition("@")[0])
    assert [version.version_id for version in versions] == ["1"], "it was taken back"
    answers(bucket)
    assert "is registered as" in register(bright=100, deploy=True), "the next run tries it again"


def test_a_deployment_that_is_refused_leaves_no_endpoint(bucket, register, in_this_process):
    bucket.control(permissions={"deny": ["aiplatform.endpoints.deploy"]})
    with pytest.raises(InputError, match=r"deploying .*the permission aiplatform\.endpoints\.deploy is missing"):
        register(bright=130, deploy=True)
    assert not endpoints(bucket)
    bucket.control(
        permissions={"deny": []},
        operation={"method": "DeployModel", "code": "RESOURCE_EXHAUSTED", "message": "no room"},
    )
    with pytest.raises(InputError, match="a quota is used up"):
        register(bright=100, deploy=True)
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
def test_batch_predictions_of_a_prefix(bucket, register):
    register()
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
    assert job["manual_batch_tuning_parameters"] == {"batch_size": 16}

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
        *(
            (["families-fashion", "--input", f"gs://bucket/in/a.{end}", "--output", "gs://bucket/out"], "with .jsonl")
            for end in ("png", "csv", "tfrecord")
        ),
    ]:
        done = batch(bucket, *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
