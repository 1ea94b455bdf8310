import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Before anything imports TensorFlow or TFDS.
os.environ.setdefault("TFDS_DATA_DIR", str(ROOT / "data" / "tfds"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def in_project(monkeypatch):
    """Tests that start the command line start it in the project, unless they go elsewhere."""
    monkeypatch.chdir(ROOT)


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
