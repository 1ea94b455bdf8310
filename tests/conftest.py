import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_server import CommandServer
from PIL import Image
from series_files import series_lines, write_series

ROOT = Path(__file__).parent.parent

# Before anything imports TensorFlow or TFDS.
os.environ.setdefault("TFDS_DATA_DIR", str(ROOT / "data" / "tfds"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Else each process would compile anew what it imports of the project.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A job in the background ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Runs of tests aren't for a developer's own server.
os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own reads the groups
def pytest_collection_modifyitems(items):
    """`make test` runs two groups at a time: first the files that need the built images, one after the other.

    They take longest. Then files with slow tests, so that in the end neither process waits for the other. Files that
    share what takes long to make are a group, for each process makes it anew: trainings, exports, a whole small run."""
    shared = {"image": "images", "tpu_image": "images", "serving_image": "images"}
    shared |= {name: name for name in ("undisturbed", "exports", "trained")}
    order, groups = list(dict.fromkeys(shared.values())), {}
    for fixture, group in shared.items():
        for path in {item.path for item in items if fixture in item.fixturenames} - groups.keys():
            groups[path] = group
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(
        key=lambda item: (order.index(groups[item.path]) if item.path in groups else len(order), item.path not in slow)
    )
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups.get(item.path, item.path.name)))


@pytest.hookimpl(tryfirst=True)  # before fixtures are made
def pytest_runtest_setup():
    """A CI that is cut off says nothing: on a slow machine it leaves tests out in time, and its last lines say so."""
    if time.time() > float(os.environ.get("TESTS_UNTIL", "inf")):
        pytest.skip("no time is left, see CONTRIBUTING.md")


@pytest.fixture(autouse=True)
def in_project(monkeypatch):
    """Tests that start the command line start it in the project, unless they go elsewhere."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def chromium():
    """The system's browser, which shows no window."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on the PATH: Debian's package chromium has it")
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that a container's root doesn't have.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def command_server(tmp_path_factory):
    """Runs modules in processes that needn't import TensorFlow and other libraries."""
    server = CommandServer(tmp_path_factory.mktemp("home"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cloud_server(tmp_path_factory):
    """A server that speaks Google Cloud's protocols, for all tests."""
    sys.path.insert(0, str(ROOT / "tests" / "cloud"))
    from client import Cloud

    server = Cloud(tmp_path_factory.mktemp("cloud"))
    yield server
    server.stop()


@pytest.fixture
def cloud(cloud_server, monkeypatch):
    """The server without anything that an earlier test left, and this process' clients pointed to it."""
    cloud_server.reset()
    for name, value in cloud_server.environment().items():
        monkeypatch.setenv(name, value)
    return cloud_server


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """Small models, trained and exported as the pipeline does it.

    By name: the export folder `model`, the data set folder `dataset`, and its description `info`."""
    from components.artifacts.dataset import load_info
    from components.export.export import export
    from components.ingest.ingest import ingest
    from components.train.train import train

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
        if name == "told":
            spec["quantiles"] = [0.1, 0.5, 0.9]
        train(name, json.dumps(spec), 1, "x", str(dataset), str(model), str(root / "checkpoints"))
        export(str(model), str(dataset), str(folder), ["onnx"])
        made[name] = SimpleNamespace(
            trained=model, model=folder, dataset=dataset, info=load_info(dataset), options=options
        )
    return made


@pytest.fixture
def registry(run_registered, tmp_path):
    """The fashion model, registered: runs/registry/<experiment>/<data set>/current."""
    return run_registered(tmp_path / "registry")


@pytest.fixture
def run_registered(exports, tmp_path):
    """Registers the fashion model in a registry's folder; the version's."""
    from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
    from components.data import storage
    from components.register.register import register

    fashion = exports["fashion"]
    about = DatasetEntry(
        task="classification", source="fashion_mnist", splits={}, sha256=fashion.info.sha256, baselines={}
    )
    entry = ModelEntry(
        model="mlp", family="mlp", dataset="fashion", task="classification", rank=1, passed=True,
        metrics={"accuracy": 1.0},
    )  # fmt: skip
    board = Leaderboard(
        experiment="test", run="1", pipeline_sha256="p", code_version="c", created="now",
        datasets={"fashion": about}, models=[entry],
    )  # fmt: skip
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "leaderboard.json").write_text(board.model_dump_json())
    _, labels = storage.load_images(fashion.dataset, fashion.info, "test")
    (tmp_path / "evaluation").mkdir()
    np.savez(tmp_path / "evaluation" / "predictions.npz", target=labels, prediction=np.eye(10)[labels])

    def run(registry):
        register(
            str(tmp_path / "board"), {"fashion": str(fashion.dataset)}, {"mlp": str(tmp_path / "evaluation")},
            {"mlp": str(fashion.model)}, str(registry), "", "1", False, str(tmp_path / "said"),
        )  # fmt: skip
        return registry / "test" / "fashion" / "current"

    return run
