"""A cluster for the tests of this folder, which run by `make kubeflow` alone: others leave them out."""

import os
import re
import time
from pathlib import Path

import pytest

if "KUBEFLOW_STATE" not in os.environ:
    collect_ignore_glob = ["test_*"]
else:
    from cluster import Cluster
    from runs import Run, compiled

SMALL = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, epochs: %d, threads: 1, machine: own, hyperparameters: {units: 8}}
"""
_said = []


@pytest.fixture(scope="session")
def cluster():
    """The cluster, from the first test to the last."""
    folders = (Path(os.environ[name]) for name in ("KUBEFLOW_CACHE", "KUBEFLOW_PROGRAMS", "KUBEFLOW_STATE"))
    cluster, began = Cluster(*folders), time.monotonic()
    cluster.start()
    yield cluster
    megabytes = cluster.megabytes()
    started = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in cluster.seconds.items())
    _said.append(f"started: {started}; with the tests {time.monotonic() - began:.0f} s")
    _said.append(f"most memory, MB: {sum(megabytes.values())}: {megabytes}")


@pytest.fixture
def run(cluster, tmp_path):
    """Submit the small config, with so many epochs on a machine of the test's own."""

    def start(epochs=1, machine="", more=""):
        own = f"own: {{machine_type: e2-standard-4, {machine}}}\n"
        file = compiled(tmp_path, SMALL % epochs + more, own, IMAGE=cluster.image)
        # This node may be smaller than the smallest machine.
        text = re.sub(r"(resourceCpuRequest): .*", r"\1: 500m", file.read_text("utf-8"))
        file.write_text(re.sub(r"(resourceMemoryRequest): .*", r"\1: 1G", text), "utf-8")
        return Run(cluster, file)

    return start


def pytest_terminal_summary(terminalreporter):
    for line in _said:
        terminalreporter.write_line(line)
