"""What the tests of this folder submit, and what they read of it."""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import kfp_server_api
import yaml
from cluster import HOST, STORE, get
from rich.console import Console

from pipeline.kubeflow.follow import follow
from pipeline.kubeflow.submit import submit_kubeflow
from pipeline.vertex.follow import JobFailedError

ROOT = Path(__file__).parents[3]
# What is another in each run of the same experiment, in a leaderboard.
OTHERWISE = re.compile(r"run|created|pipeline_sha256|machine|train_seconds|examples_per_second|path|bytes|.*_ms")
# The table of machines and the images' names are read once, so a process of its own compiles.
COMPILE = """\
import pathlib, sys
from pipeline.experiment import machines
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment
folder = pathlib.Path(sys.argv[1])
machines.FILE = folder / "machines.yaml"
print(compile_experiment(load_experiment(folder / "kf_small.yaml", []), folder, "kubeflow")[0])
"""


def compiled(folder, config, machines, **images):
    """The file of a config, with a table of machines and images of the test's own."""
    (folder / "machines.yaml").write_text(machines, "utf-8")
    (folder / "kf_small.yaml").write_text(config, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **images}
    said = subprocess.check_output([sys.executable, "-c", COMPILE, folder], env=environment, text=True)
    return Path(said.strip())


class Run:
    """A run of a compiled file, which is submitted here."""

    def __init__(self, cluster, file):
        self.cluster, self.tasks = cluster, list(next(yaml.safe_load_all(file.read_text()))["root"]["dag"]["tasks"])
        self.client, self.id = submit_kubeflow(file, HOST, "kf-small", f"run-{time.time_ns()}", {}, None)

    def end(self, fail_fast=False):
        """Follow the run to its end as `--wait` does; what was shown of the tasks, and how it ended."""
        console, error = Console(file=io.StringIO(), width=200), ""
        try:
            follow(self.client, self.id, self.tasks, console, fail_fast, poll_seconds=1)
        except JobFailedError as failed:
            error = re.sub(r"run-\d+ ", "", str(failed))
        return {tuple(line.split()[:2]) for line in console.file.getvalue().splitlines()}, error

    def terminate(self):
        """Cancel the run, as Kubeflow's page does."""
        kfp_server_api.RunServiceApi(self.client).run_service_terminate_run(self.id)

    def training(self, epoch=1, beside=None):
        """A pod of the training, of another uid than this, once it has ended an epoch."""
        said = ""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            for pod in self.cluster.run_pods(self.id, "train-lstm"):
                if pod.status.phase == "Running" and pod.metadata.uid != beside:
                    said = self.cluster.log(pod)
                    if any(int(one) >= epoch for one in re.findall(r"\bepoch (\d+)/", said)):
                        return pod
            time.sleep(1)
        raise AssertionError(said)


def command(folder, *arguments, **environment):
    """Run the command line in a folder; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def leaderboard_here(folder, config, *options):
    """The leaderboard of a local run in a folder."""
    command(folder, "run", str(config), *options)
    (file,) = folder.glob("runs/*/latest/leaderboard.json")
    return figures(json.loads(file.read_text("utf-8")))


def leaderboard_there(run_id):
    """The leaderboard that a run on the cluster has put into the object store."""
    return figures(json.loads(stored(run_id, "/leaderboard.json")))


def figures(content):
    """A leaderboard without times, sizes, paths and names of the run."""
    if isinstance(content, dict):
        return {key: figures(value) for key, value in content.items() if not OTHERWISE.fullmatch(key)}
    return [figures(value) for value in content] if isinstance(content, list) else content


def stored(run_id, name):
    """What a run has put into the object store under a name."""
    found = get(f"{STORE}/mlpipeline?prefix=v2/artifacts/&max-keys=9999").decode()
    (key,) = [one for one in re.findall(r"<Key>([^<]*)</Key>", found) if run_id in one and one.endswith(name)]
    return get(f"{STORE}/mlpipeline/{key}")
