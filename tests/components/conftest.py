import json

import pytest
from trainings import DATASETS, MODELS, train

from components.ingest.work import ingest


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    for name, spec in DATASETS.items():
        ingest(name, json.dumps(spec), str(folder / name))
    return folder


@pytest.fixture(scope="session")
def undisturbed(datasets, tmp_path_factory):
    return {name: train(name, tmp_path_factory.mktemp(name), datasets) for name in MODELS}
