"""A cluster for the tests of this folder, which run by `make kubeflow` alone: others leave them out."""

import os
import time
from pathlib import Path

import pytest

if "KUBEFLOW_STATE" not in os.environ:
    collect_ignore_glob = ["test_*"]
else:
    from cluster import Cluster

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


def pytest_terminal_summary(terminalreporter):
    for line in _said:
        terminalreporter.write_line(line)
