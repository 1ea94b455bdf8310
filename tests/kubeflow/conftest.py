import base64
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CONFIG = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4, hyperparameters: {units: 8}}
"""
_START_SECONDS = 60


class Kubeflow:
    """A test server in a process of its own; server.py lists what control takes."""

    def __init__(self, folder):
        address, log = folder / "address.json", folder / "server.log"
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("server.py")), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        until = time.monotonic() + _START_SECONDS
        while not address.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"the test server didn't start:\n{log.read_text()[-3000:]}")
            time.sleep(0.02)
        self.host = json.loads(address.read_text())

    def control(self, **commands):
        self._ask("control", json.dumps(commands).encode())

    def fault(self, path, **more):
        method, _, rest = path.partition(" ")
        self.control(fault={"path": f"{method} /apis/v2beta1/{rest}", **more})

    def requests(self, path=None):
        """What was asked, or the requests of one method and path; files as bytes."""
        found = []
        for asked in self._ask("requests"):
            asked["path"] = asked["path"].removeprefix("/apis/v2beta1/")
            if asked["file"] is not None:
                asked["file"] = base64.b64decode(asked["file"])
            if path in (None, f"{asked['method']} {asked['path']}"):
                found.append(asked)
        return found

    def resources(self):
        return self._ask("resources")

    def _ask(self, path, body=None):
        with urllib.request.urlopen(f"{self.host}/{path}", body, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="session")
def kubeflow_server(tmp_path_factory):
    server = Kubeflow(tmp_path_factory.mktemp("kubeflow"))
    yield server
    server.stop()


@pytest.fixture
def kubeflow(kubeflow_server):
    """The server without anything that an earlier test left."""
    kubeflow_server.control(reset=True)
    return kubeflow_server


@pytest.fixture
def compiled_for_kubeflow(tmp_path):
    """A compiled file, and the names of its tasks."""
    path = tmp_path / "kf_small.yaml"
    path.write_text(CONFIG)
    file, _ = compile_experiment(load_experiment(path, []), tmp_path, "kubeflow")
    return file, list(next(yaml.safe_load_all(file.read_text()))["root"]["dag"]["tasks"])
