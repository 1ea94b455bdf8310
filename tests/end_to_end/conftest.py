"""A copy of the project in a temporary folder, run as a user runs it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CONFIG = """\
seed: 1
datasets:
  fashion: {source: fashion_mnist, use: 0.01, gate: {majority_class: 0.1}}
  electricity: {source: electricity, use: 0.1, lookback: 96, horizon: 12, calendar: [hour]}
models:
  mlp:
    {family: mlp, dataset: fashion, epochs: 2, batch_size: 50, hyperparameters: {units: [16]},
     expect: {accuracy: {value: 0.6, within: 0.25}}}
  lstm: {family: lstm, dataset: electricity, epochs: 1, hyperparameters: {units: 8, patch: 12, seasonal: true}}
"""


class Project:
    """The copy and its command line, which is forked or, by `start`, a new Python as users start it."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.config = folder / "configs" / "small.yaml"
        self.environment = {**os.environ, "COLUMNS": "160"}

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def run(self, *arguments):
        done = self.server.run(*arguments, env=self.environment, folder=self.folder, errors_apart=False)
        return done.returncode, done.stdout

    def run_anew(self, *arguments):
        process = self.start(*arguments)
        output = process.communicate(timeout=600)[0]
        return process.returncode, output

    def until(self, text, process, earlier):
        """Wait until the log of train-mlp of a new run says `text`."""
        runs = self.folder / "runs/small"
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            new = set(runs.iterdir()) - earlier if runs.exists() else set()
            if any(text in log.read_text() for run in new for log in run.glob("logs/train-mlp.log")):
                return
            time.sleep(0.1)
        process.kill()
        raise AssertionError(f"{text!r} was not said: {process.communicate()[0]}")

    def states(self, output):
        """State and reason of each task, from the lines of a run."""
        rows = [line.split(maxsplit=2) for line in output.splitlines()]
        return {row[1]: row[0] for row in rows if len(row) > 1 and row[0] in ("done", "cached", "failed")}


@pytest.fixture(scope="module")
def project(tmp_path_factory, request, command_server):
    """A copy of the project with a small experiment."""
    # A folder whose name a shell would stumble over. podman can't mount one with a quotation mark.
    name = 'my "python3" $(touch X) project'
    in_containers = request.module.__name__ in ("test_containers", "test_quick")
    folder = tmp_path_factory.mktemp("base") / (name.replace('"', "") if in_containers else name)
    folder.mkdir()
    for name in ("components", "pipeline", "configs"):
        # Python's half-written files may be gone by then.
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copyfile(ROOT / "requirements-cpu.lock", folder / "requirements-cpu.lock")
    project = Project(folder, command_server)
    project.config.write_text(CONFIG)
    return project


@pytest.fixture(scope="session")
def image():
    """The name of the CPU image, built from its Dockerfile."""
    return _built("cpu")


@pytest.fixture(scope="session")
def tpu_image():
    """Name of the image tpu, built."""
    return _built("tpu")


@pytest.fixture(scope="session")
def serving_image():
    """Name of the image serving, built."""
    return _built("serving")


def _built(target):
    if not any(map(shutil.which, ("docker", "podman"))):
        pytest.skip("neither docker nor podman is here; on Debian: apt-get install podman buildah runc debootstrap")
    name = f"localhost/keras-pipeline-python-test-{target}:latest"
    without_registry = os.getuid() == 0 and shutil.which("debootstrap") and shutil.which("buildah")
    environment = {**os.environ, "NAME": name, **({"BASE": "local"} if without_registry else {})}
    done = subprocess.run(
        [ROOT / "containers/build.sh", target],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return name


@pytest.fixture
def docker_client():
    """Docker, or podman behind its interface."""
    import docker
    from daemon import daemon

    with daemon():
        yield docker.from_env()


@pytest.fixture
def in_image():
    """Run a command in an image; its output."""
    from pipeline.local.containers import engine, limits

    def run(image, command, volumes=(), environment=None):
        options = [f"--volume={path}:{path}" for path in volumes]
        options += [f"--env={name}={value}" for name, value in (environment or {}).items()]
        given = [engine(), "run", "--rm", "--network=host", *limits(), *options, image, *command]
        return subprocess.run(given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

    return run
