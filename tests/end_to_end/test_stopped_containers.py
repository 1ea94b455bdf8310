"""`podman stop` of a task's container: Python is its first process, and ends as it should."""

import shutil
import time
from contextlib import contextmanager

import pytest
from compiled import command, lasting_training, wait

pytestmark = pytest.mark.slow


@contextmanager
def started(client, image, arguments, folder):
    """A container that runs a compiled command, with a folder mounted where it is here."""
    from daemon import ulimits

    folder.chmod(0o777)
    mounted = {str(folder): {"bind": str(folder), "mode": "rw"}}
    container = client.containers.create(
        image, arguments, volumes=mounted, network_mode="host", ulimits=ulimits(), working_dir=str(folder)
    )
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True)


def until(container, true):
    deadline = time.monotonic() + 120
    while not true():
        container.reload()
        assert container.status == "running" and time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.2)


def test_a_step_ends(image, docker_client, tmp_path):
    path = tmp_path / "started"
    arguments = command(wait, {"parameterValues": {"path": str(path)}}, tmp_path)
    with started(docker_client, image, arguments, tmp_path) as container:
        until(container, path.exists)
        container.stop(timeout=60)
        assert container.wait()["StatusCode"] == 143


def test_a_training_saves_a_checkpoint(image, docker_client, exports, tmp_path):
    shutil.copytree(exports["fashion"].dataset, tmp_path / "dataset")
    with started(docker_client, image, lasting_training(tmp_path / "dataset", tmp_path), tmp_path) as container:
        until(container, lambda: list(tmp_path.rglob("*.sha256")))
        before = set(tmp_path.rglob("*.sha256"))
        container.stop(timeout=60)
        assert container.wait()["StatusCode"] == 143
    assert set(tmp_path.rglob("*.sha256")) - before, "no checkpoint was saved"
