import os
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
