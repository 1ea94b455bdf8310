import functools
import json
import os

import numpy as np
import pytest
from command_line import CONFIG
from PIL import Image
from training_job import IMAGE
from winners import GOLD, RUN, board, vertex

from components.artifacts.dataset import load_info
from components.artifacts.export import ONNX, Blessing, Exported, Golden
from components.common import files
from components.common.files import folder_digest
from components.data import storage
from components.ingest.ingest import ingest
from components.metrics.bootstrap import errors
from components.register import challenge
from components.register.challenge import Winner
from components.register.vertex import register_on_vertex
from components.vertex import cloud_storage, custom_job
from pipeline.experiment import machines


@pytest.fixture
def bucket(cloud, monkeypatch):
    """The folder that a bucket is mounted at, where jobs are asked for soon and their image has a name."""
    monkeypatch.setattr(files, "MOUNT", cloud.folder / "buckets")
    monkeypatch.setattr(custom_job, "POLL_SECONDS", 0.1)
    for kind in ("GPU_IMAGE", "TPU_IMAGE"):
        monkeypatch.setattr(machines, kind, IMAGE)
    cloud.put("gs://bucket/here")
    return cloud.folder / "buckets" / "bucket"


@pytest.fixture
def mounted(cloud, monkeypatch):
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


@pytest.fixture
def winner(mounted, data, saved_model, tmp_path):
    """Make a winner: a model that takes pictures from a value on for bright, where the truth is `truth`."""
    made = iter(range(100))

    def winner(bright=100, truth=100, promote=False, faults=(), leaderboard=None):
        name, number = f"{RUN}/export-mlp_{bright}/exported", next(made)
        for path in saved_model(bright).rglob("*"):
            if path.is_file():
                place = f"{name}/saved_model/{path.relative_to(saved_model(bright)).as_posix()}"
                mounted.put(place, path.read_bytes())
        folder = mounted.file(name)
        mounted.put(f"{name}/{ONNX}", b"model")
        mounted.put(f"{name}/{Golden.FILE}", GOLD.model_dump_json())
        mounted.put(f"{name}/dataset.json", (data(truth) / "dataset.json").read_bytes())
        blessing = Blessing(saved_model_sha256=folder_digest(folder / "saved_model"), faults=list(faults))
        mounted.put(f"{name}/export.json", Exported(model="mlp", formats={}, blessing=blessing).model_dump_json())
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
def config(tmp_path):
    """A small experiment's file."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def pipeline(cloud, command_server):
    """Run the command line where its clients find the server."""

    def run(*arguments, **environment):
        images = dict.fromkeys(("IMAGE", "IMAGE_GPU", "IMAGE_TPU", "IMAGE_SERVING"), IMAGE)
        own = {**os.environ, **cloud.environment(), **images, "GOOGLE_CLOUD_REGION": "us-central1", **environment}
        return command_server.run(*arguments, env=own)

    return run
