"""A picture is called by its file: in the records, among the mistakes, on the page."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.artifacts.dataset import load_info
from components.data import storage
from components.evaluate.evaluate import evaluate
from components.ingest.ingest import ingest
from components.report.report import report
from components.train.train import train


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A model of noise, which can't be right: folders by name."""
    root = tmp_path_factory.mktemp("noise")
    generator = np.random.default_rng(0)
    for name in ("cat", "d&g", "ümlaut"):
        (root / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(0, 256, (6, 6), np.uint8)
            Image.fromarray(pixels).save(root / "pictures" / name / f"{name} no. {i}.png")
    spec = {"source": "image_folder", "path": str(root / "pictures"), "height": 6, "width": 6, "channels": 1}
    ingest("noise", json.dumps(spec | {"test": 0.5}), str(root / "dataset"))
    model = {"family": "mlp", "dataset": "noise", "epochs": 1, "batch_size": 8, "hyperparameters": {"units": [4]}}
    train("mlp", json.dumps(model), 1, "x", str(root / "dataset"), str(root / "model"), str(root / "checkpoints"))
    return root, evaluate(str(root / "model"), str(root / "dataset"), 1, str(root / "evaluation"))


def test_mistakes_name_the_files_that_were_taken_for_others(evaluated):
    root, evaluation = evaluated
    info = load_info(root / "dataset")
    images, _ = storage.load_images(root / "dataset", info, "test")
    assert len(evaluation.mistakes) == 12
    for wrong in evaluation.mistakes:
        assert Path(wrong.file).parts[0] == info.classes[wrong.label]
        pixels = np.asarray(Image.open(root / "pictures" / wrong.file))
        np.testing.assert_array_equal(images[wrong.example, ..., 0], pixels)


def test_the_page_shows_them(evaluated):
    root, evaluation = evaluated
    about = {"experiment": "noise", "command": "x", "seed": 1, "code_version": "c", "tasks": {"ingest": []}}
    folders = (
        {name: str(root / folder)} for name, folder in (("noise", "dataset"), ("mlp", "model"), ("mlp", "evaluation"))
    )
    page = str(root / "report.html")
    report(json.dumps(about), "{}", "d", *folders, {"mlp": None}, leaderboard=None, searches={}, path=page)
    page = (root / "report.html").read_text()
    for wrong in evaluation.mistakes:
        assert f"<small>{wrong.file.replace('&', '&amp;')}</small>" in page


def test_images_without_files_have_no_names(ingested):
    path = ingested["fashion"].path
    info = load_info(path)
    assert not info.named
    assert storage.load_names(path, info, "test") == []
