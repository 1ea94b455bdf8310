"""Small models, trained and exported as the pipeline does it, for the tests of predictions and drift."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

START = datetime(2024, 1, 1)


def series_lines(rows, start=START, shift=0.0, hours=1, first=0):
    """Lines of a CSV series: a day's wave, a temperature, and whether it is a weekend."""
    for i in range(first, first + rows):
        time = start + timedelta(hours=hours * i)
        wave = math.sin(i * math.pi / 12)
        temperature = 15 + 5 * math.cos(i * 0.7) + shift
        yield f"{time.isoformat()},{5 + wave:.4f},{temperature:.3f},{int(time.weekday() > 4)}"


def write_series(path, lines, header="time,load,temp,holiday"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """By name: the export folder `model`, the data set folder `dataset`, and its description `info`."""
    from components.dataset import load_info
    from components.export.work import export
    from components.ingest.work import ingest
    from components.train.work import train

    root = tmp_path_factory.mktemp("exports")
    csv = write_series(root / "mine.csv", series_lines(400))
    generator = np.random.default_rng(0)
    for name, colour in (("blue", [20, 40, 200]), ("red", [220, 30, 10])):
        (root / "classes" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.clip(generator.normal(colour, 30, (9 + i, 14, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "classes" / name / f"{i}.png")
    series = {"source": "csv", "path": str(csv), "time": "time", "target": "load", "frequency": "h"}
    series |= {"lookback": 24, "horizon": 6, "covariates": ["temp"], "calendar": ["hour", "weekday"]}
    datasets = {
        "fashion": {"source": "fashion_mnist", "use": 0.02},
        "told": {**series, "known": ["holiday"]},
        "untold": series,
        "pictures": {"source": "image_folder", "path": str(root / "classes"), "height": 8, "width": 6},
    }
    made = {}
    for name, options in datasets.items():
        dataset, model, folder = root / name, root / "run" / f"train-{name}" / "model", root / f"export-{name}"
        ingest(name, json.dumps(options), str(dataset))
        spec = {"family": "mlp", "dataset": name, "epochs": 2, "batch_size": 50, "hyperparameters": {"units": [16]}}
        train(name, json.dumps(spec), 1, "x", str(dataset), str(model))
        export(str(model), str(dataset), str(folder))
        made[name] = SimpleNamespace(model=folder, dataset=dataset, info=load_info(dataset), options=options)
    return made


@pytest.fixture
def registry(exports, tmp_path):
    """The fashion model, registered: runs/registry/<experiment>/<data set>/current."""
    from components.leaderboard import DatasetEntry, Leaderboard, ModelEntry
    from components.register.work import register

    about = DatasetEntry(task="classification", source="fashion_mnist", splits={}, sha256="d", baselines={})
    entry = ModelEntry(
        model="mlp", family="mlp", dataset="fashion", task="classification", rank=1, passed=True, metrics={}
    )
    board = Leaderboard(
        experiment="test", run="1", pipeline_sha256="p", code_version="c", created="now",
        datasets={"fashion": about}, models=[entry],
    )  # fmt: skip
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "leaderboard.json").write_text(board.model_dump_json())
    shelf = tmp_path / "registry"
    register(str(tmp_path / "board"), {"mlp": str(exports["fashion"].model)}, str(shelf), "", str(tmp_path / "said"))
    return Path(shelf / "test" / "fashion" / "current")
