"""Winners in Vertex AI's Model Registry."""

import re
import shutil
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1 import types
from kfp import dsl
from winners import PARENT, RUN, board, current, models, uploads, vertex

from components.artifacts.export import ONNX
from components.artifacts.registration import load_registered
from components.common import files
from components.common.errors import InputError
from components.register import component as registering
from components.register.vertex import register_on_vertex


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


def test_a_winner_is_uploaded_with_its_metrics(mounted, winner):
    done = register_on_vertex(vertex(), winner(leaderboard=board(0.9)))
    assert (done.action, done.version) == ("registered", "1")
    assert done.path.startswith("projects/123456789012/locations/us-central1/models/")
    assert done.sentence == f"fashion: mlp is registered as {done.path}: accuracy 0.9000"
    (asked,) = mounted.requests("UploadModel")
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
    (found,) = models(mounted).list_models(parent=PARENT)
    assert sorted(found.version_aliases) == ["current", "default"]
    (evaluation,) = models(mounted).list_model_evaluations(parent=f"{found.name}@1")
    assert evaluation.metrics["logLoss"] == 0.3
    assert evaluation.metadata["accuracy"] == 0.9
    assert "classification_metrics" in evaluation.metrics_schema_uri


def test_a_better_one_becomes_the_current_version_and_a_worse_one_does_not(mounted, register):
    register(bright=130)
    worse = register(bright=180)
    assert worse.startswith("fashion: kept version 1: accuracy 0.8")
    assert " against 0.6" in worse
    assert register(bright=130) == "fashion: mlp is version 1 already"
    assert uploads(mounted) == 1
    better = register(bright=100)
    assert "@2: accuracy 1.0000 against 0.8" in better
    assert current(mounted) == "2"
    assert "kept version 2" in register(bright=130)
    assert uploads(mounted) == 2


def test_what_cannot_be_told_apart_takes_the_place_only_where_it_was_asked_for(mounted, register, in_this_process):
    register(bright=101)
    assert "no clear difference; --promote registers mlp" in register(bright=100)
    assert current(mounted) == "1"
    assert "no clear difference" in register(bright=100, promote=True)
    assert current(mounted) == "2"
    assert "kept version 2" in register(bright=150, promote=True), "a worse one isn't registered, asked for or not"


def test_a_version_that_was_measured_on_other_data_answers_these_first(mounted, register):
    """It was always right where bright began at 100; where it begins at 150, it is wrong of a fifth."""
    register(bright=100)
    kept = register(bright=0, truth=150)
    figures = r"accuracy 0\.[78]\d+ against 0\.[34]\d+ of mlp \(version 1 answered these test examples now\)"
    assert re.fullmatch(f"fashion: kept version 1: {figures}", kept)
    assert uploads(mounted) == 1
    assert "@2: accuracy 1.0000 against 0." in register(bright=150, truth=150)
    assert current(mounted) == "2"


def test_a_version_from_before_the_serving_image_answers_too(mounted, winner, register):
    """It was uploaded as a SavedModel for Google's TensorFlow image; the same model again is worth an upload."""
    winner(bright=130)
    models(mounted).upload_model(
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
    assert current(mounted) == "2"


def test_a_version_whose_files_are_gone_is_kept_with_the_reason(mounted, register):
    register(bright=130)
    shutil.rmtree(mounted.file(f"{RUN}/export-mlp_130"))
    kept = register(bright=100)
    assert kept.startswith("fashion: kept version 1: it can't be compared with mlp, ")
    assert "export-mlp_130" in kept
    assert current(mounted) == "1"
    assert "@2" in register(bright=100, promote=True)


def test_a_version_whose_metrics_are_refused_is_taken_back(mounted, register, in_this_process):
    mounted.control(permissions={"deny": ["aiplatform.modelEvaluations.import"]})
    with pytest.raises(InputError, match=r"registering mlp as families-fashion"):
        register(bright=130)
    assert not list(models(mounted).list_models(parent=PARENT))
    mounted.control(permissions={"deny": []})
    register(bright=130)
    mounted.control(permissions={"deny": ["aiplatform.modelEvaluations.import"]})
    with pytest.raises(InputError):
        register(bright=100)
    (found,) = models(mounted).list_models(parent=PARENT)
    assert found.version_id == "1"
    assert "current" in found.version_aliases


def test_it_may_be_left_alone(mounted, register):
    assert "vertex.register_models is false" in register(register_models=False)
    assert not uploads(mounted)


def test_the_component_registers_what_passed(mounted, component):
    assert component(leaderboard=board(passed=False)).action == "refused"
    assert not uploads(mounted)
    done = component()
    assert (done.action, done.version) == ("registered", "1")
    (asked,) = mounted.requests("UploadModel")
    assert "of run job-1." in asked["request"]["model"]["description"]


def test_a_model_without_a_blessing_is_not_uploaded(mounted, component):
    done = component(faults=["takes no image"])
    assert (done.action, done.path) == ("refused", None)
    assert done.sentence == "fashion: mlp is not registered, its SavedModel takes no image"
    assert not uploads(mounted)


def test_a_model_that_the_serving_image_cannot_serve_is_not_uploaded(mounted, winner):
    best = winner()
    (best.export / ONNX).unlink()
    done = register_on_vertex(vertex(), best)
    said = "fashion: mlp is not registered, it has no model.onnx, which the serving image needs"
    assert (done.action, done.sentence) == ("refused", said)
    assert not mounted.requests("UploadModel")
