import json
from datetime import timedelta
from pathlib import Path

import pytest
import trained_processes
from kfp import dsl
from reported import page
from small_run import compared
from trainings import DATASETS, MODELS, train

from components.ingest.ingest import ingest
from components.models.fresh import process
from components.tune import here


@pytest.fixture(scope="session", autouse=True)
def forked(command_server):
    """The processes that steps start are forked, as in a local run."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (here, process, trained_processes):
            patch.setattr(module, "start_module", command_server.start_module)
        yield


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """The folder of the data sets of `trainings`, ingested."""
    folder = tmp_path_factory.mktemp("datasets")
    for name, spec in DATASETS.items():
        ingest(name, json.dumps(spec), str(folder / name))
    return folder


@pytest.fixture(scope="session")
def undisturbed(datasets, tmp_path_factory):
    """What each of the `trainings` ends with where nothing disturbs it, by name."""
    return {name: train(name, tmp_path_factory.mktemp(name), datasets) for name in MODELS}


@pytest.fixture(scope="session")
def ingested(tmp_path_factory):
    """The data sets of `small_run`; the tests of the report show the same run."""
    from small_run import DATASETS, artifact

    from components.ingest.component import ingest

    folder = tmp_path_factory.mktemp("datasets")
    made = {}
    for name, spec in DATASETS.items():
        made[name] = artifact(dsl.Dataset, folder / name)
        ingest.python_func(name, json.dumps(spec), "f", "x", made[name])
    return made


@pytest.fixture(scope="session")
def trained(ingested, tmp_path_factory):
    """The models of `small_run`, by name."""
    from small_run import MODELS, train_one

    folder = tmp_path_factory.mktemp("models")
    return {name: train_one(name, folder, ingested) for name in MODELS}


@pytest.fixture(scope="session")
def results(ingested, trained, tmp_path_factory):
    """Arguments of compare: every model evaluated and exported, every data set's baselines."""
    from small_run import MODELS, artifact

    from components.baseline.component import baseline
    from components.evaluate.component import evaluate_classification, evaluate_forecasting
    from components.export.component import export

    folder = tmp_path_factory.mktemp("results")
    arguments = {}
    for name, dataset in ingested.items():
        arguments[f"dataset_{name}"] = dataset
        arguments[f"baseline_{name}"] = artifact(dsl.Artifact, folder / f"baseline-{name}")
        quantiles = "[0.1, 0.5, 0.9]" if name == "electricity" else "[]"
        baseline.python_func("x", dataset, arguments[f"baseline_{name}"], quantiles)
    for name, model in trained.items():
        dataset = ingested[MODELS[name]["dataset"]]
        evaluation = artifact(dsl.Artifact, folder / f"evaluate-{name}")
        metrics = artifact(dsl.Metrics, folder / f"metrics-{name}")
        if name == "mlp":
            confusion = artifact(dsl.ClassificationMetrics, folder / "confusion")
            evaluate_classification.python_func(1, "x", dataset, model, evaluation, metrics, confusion)
            assert confusion.metadata["confusionMatrix"]["annotationSpecs"][0]["displayName"] == "T-shirt/top"
        else:
            evaluate_forecasting.python_func(1, "x", dataset, model, evaluation, metrics)
        assert metrics.metadata
        assert Path(metrics.path).read_text(encoding="utf-8") == "{}", "without a file kfp.local never caches the task"
        exported = artifact(dsl.Model, folder / f"export-{name}")
        export.python_func("x", dataset, model, exported, json.dumps(["litert", "onnx"] if name == "lstm" else []))
        arguments |= {f"model_{name}": model, f"evaluation_{name}": evaluation, f"export_{name}": exported}
    return arguments


@pytest.fixture(scope="session")
def fashion(exports):
    """The export; the test images, uint8 [200, 28, 28]; what the Keras model gives for them."""
    import keras
    import numpy as np

    from components.data import storage

    found = exports["fashion"]
    images, _ = storage.load_images(found.dataset, found.info, "test")
    model = keras.saving.load_model(found.model / "model.keras", compile=False)
    found.images, found.expected = images[..., 0], np.asarray(model.predict(images, verbose=0))
    return found


@pytest.fixture(scope="session")
def series(tmp_path_factory):
    """A folder, its description, and what should be stored in each split."""
    import numpy as np
    from tiny import START, csv_spec, csv_table, run

    from components.artifacts.dataset import SPLITS
    from components.readers.time_axis import calendar_values

    root = tmp_path_factory.mktemp("series")
    table = csv_table()
    info = run(root / "dataset", csv_spec(root, table))
    calendar = [calendar_values(START + timedelta(hours=i), ["hour"]) for i in range(len(table))]
    stored = np.concatenate([table, calendar], axis=1).astype(np.float32)
    return root / "dataset", info, dict(zip(SPLITS, np.split(stored, [182, 221]), strict=True))


@pytest.fixture(scope="session")
def divided(tmp_path_factory):
    """Data sets whose batches workers share, by name."""
    folder = tmp_path_factory.mktemp("datasets")
    options = {
        "fashion": {"source": "fashion_mnist", "use": 0.02},
        "demand": {"source": "electricity", "use": 0.152, "lookback": 96, "horizon": 48, "calendar": ["hour"]},
    }
    for name, spec in options.items():
        ingest(name, json.dumps(spec), str(folder / name))
    return {name: str(folder / name) for name in options}


@pytest.fixture(scope="session")
def served(exports):
    """Export folders by data set."""
    return {name: exports[name].model for name in ("fashion", "told", "pictures")}


@pytest.fixture(scope="session")
def board(results, tmp_path_factory):
    """The leaderboard of the small run, with a gate for the images."""
    return compared(results, tmp_path_factory.mktemp("board"), gates={"fashion": {"majority_class": 0.1}})[0]


@pytest.fixture(scope="session")
def html(results, board, tmp_path_factory):
    """The page about the small run."""
    return page(results, tmp_path_factory.mktemp("page") / "report.html", board)
