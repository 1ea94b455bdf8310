"""What runs containers on this machine: Docker's daemon, or podman, which speaks Docker's interface."""

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


@contextmanager
def daemon() -> Iterator[None]:
    """Have DOCKER_HOST point to what runs containers: Docker where it answers, else podman, started for this run.

    Raises:
        InputError: There is neither.
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
    with tempfile.TemporaryDirectory(prefix="keras-pipeline-") as folder, tempfile.TemporaryFile() as said:
        address = f"unix://{folder}/podman.sock"
        # It ends by itself where this process has no time to end it.
        service = subprocess.Popen(
            ["podman", "system", "service", "--time", "60", address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # No pipe: what it says after this process was killed would end it, before the containers are removed.
            stderr=said,
            start_new_session=True,
        )
        os.environ["DOCKER_HOST"] = address
        try:
            _await(service, said)
            yield
        finally:
            del os.environ["DOCKER_HOST"]
            service.terminate()
            service.wait()


def _await(service: subprocess.Popen[bytes], said: IO[bytes]) -> None:
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
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    raise InputError(f"podman system service doesn't start: {lines[-1] if lines else 'no answer'}")
