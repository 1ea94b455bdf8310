"""The daemon that runs containers on this machine: Docker's, or podman's, which has Docker's interface."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from components.common.errors import InputError

_START_SECONDS = 30


def ulimits() -> list[dict]:
    """The limits of a local run's containers, as docker-py takes them."""
    from pipeline.local.containers import limits

    numbers = [limit.removeprefix("--ulimit=").partition("=") for limit in limits()]
    return [{"Name": name, "Soft": int(n.split(":")[0]), "Hard": int(n.split(":")[0])} for name, _, n in numbers]


@contextmanager
def daemon() -> Iterator[None]:
    """Make sure that a daemon answers: Docker's, or else podman's, which is started and named in DOCKER_HOST.

    Raises:
        InputError: Neither of them answers.
    """
    import docker

    try:
        docker.from_env().ping()
    except (docker.errors.DockerException, OSError):
        pass
    else:
        yield
        return
    if os.environ.get("DOCKER_HOST"):
        raise InputError(f"DOCKER_HOST: nothing answers at {os.environ['DOCKER_HOST']}")
    if not shutil.which("podman"):
        raise InputError("no Docker daemon answers, and there is no podman; on Debian: apt-get install podman")
    with tempfile.TemporaryDirectory(prefix="keras-pipeline-") as folder, tempfile.TemporaryFile() as errors:
        address = f"unix://{folder}/podman.sock"
        # The service ends by itself after a minute without requests, for this process may be killed.
        service = subprocess.Popen(
            ["podman", "system", "service", "--time", "60", address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # A pipe would end the service at its first message after this process was killed, when the containers
            # haven't been removed yet.
            stderr=errors,
            start_new_session=True,
        )
        os.environ["DOCKER_HOST"] = address
        try:
            _await(service, errors)
            yield
        finally:
            del os.environ["DOCKER_HOST"]
            service.terminate()
            service.wait()


def _await(service: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    import docker

    deadline = time.monotonic() + _START_SECONDS
    while service.poll() is None and time.monotonic() < deadline:
        try:
            docker.from_env().ping()
        except (docker.errors.DockerException, OSError):
            time.sleep(0.1)
        else:
            return
    service.kill()
    service.wait()
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    raise InputError(f"podman system service doesn't start: {lines[-1] if lines else 'no answer'}")
