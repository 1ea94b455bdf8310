"""The compiled pipeline on Kubeflow Pipelines' own programs, which do what docs/kubeflow.md says."""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import kfp_server_api
import pytest
import yaml
from cluster import HOST, STORE, get
from rich.console import Console

from pipeline.kubeflow.follow import follow
from pipeline.kubeflow.submit import submit_kubeflow
from pipeline.vertex.follow import JobFailedError

ROOT = Path(__file__).parents[3]
SMALL = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, epochs: %d, threads: 1, machine: own, hyperparameters: {units: 8}}
"""
LONG = 2000  # epochs, of which no test waits for the last
# What is another in each run of the same experiment, in a leaderboard.
OTHERWISE = re.compile(r"run|created|pipeline_sha256|machine|train_seconds|examples_per_second|path|bytes|.*_ms")


class Run:
    """A run that was submitted."""

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

    def training(self, number=1):
        """The number-th pod of the training, once it trains."""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            pods = self.cluster.run_pods(self.id, "train-lstm")[number - 1 :]
            if pods and pods[0].status.phase == "Running" and "epoch" in self.cluster.log(pods[0]):
                return pods[0]
            time.sleep(1)
        raise AssertionError(self.tasks)


# The image's name is read when the pipeline's modules are imported, so a process of its own compiles.
COMPILE = """\
import pathlib, sys
from pipeline.experiment import machines
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment
folder = pathlib.Path(sys.argv[1])
machines.FILE = folder / "machines.yaml"
print(compile_experiment(load_experiment(folder / "kf_small.yaml", []), folder, "kubeflow")[0])
"""


@pytest.fixture
def run(cluster, tmp_path):
    """Submit the small config, with so many epochs on a machine of the test's own."""

    def start(epochs=1, machine=""):
        (tmp_path / "machines.yaml").write_text(f"own: {{machine_type: e2-standard-4, {machine}}}\n", "utf-8")
        (tmp_path / "kf_small.yaml").write_text(SMALL % epochs, "utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "IMAGE": cluster.image}
        said = subprocess.check_output([sys.executable, "-c", COMPILE, tmp_path], env=environment, text=True)
        file = Path(said.strip())
        # This node may be smaller than the smallest machine.
        text = re.sub(r"(resourceCpuRequest): .*", r"\1: 500m", file.read_text("utf-8"))
        file.write_text(re.sub(r"(resourceMemoryRequest): .*", r"\1: 1G", text), "utf-8")
        return Run(cluster, file)

    return start


def command(folder, *arguments, **environment):
    """Run the command line in a folder; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_quick_ends_with_the_leaderboard_of_a_local_run_and_a_second_time_from_the_cache(cluster, tmp_path):
    quick, ids = str(ROOT / "configs/quick.yaml"), []
    for name in ("first", "second"):
        submit = ("submit", quick, "--kubeflow", HOST, "--wait", "--job-id", name)
        said = command(tmp_path, *submit, IMAGE=cluster.image, IMAGE_GPU=cluster.image)
        ids.append(re.search(r"/runs/details/(\S+)", said)[1])
    command(tmp_path, "run", quick)
    here = json.loads((tmp_path / "runs/quick/latest/leaderboard.json").read_text())
    there = json.loads(stored(ids[0], "/leaderboard.json"))
    assert len(there["models"]) == 7
    assert figures(there) == figures(here)
    tasks = next(yaml.safe_load_all((tmp_path / "build/quick-kubeflow.yaml").read_text()))["root"]["dag"]["tasks"]
    again = {name for name, task in tasks.items() if not task.get("cachingOptions", {}).get("enableCache")}
    assert [cluster.tasks(one) for one in ids] == [set(tasks), again]


def test_a_killed_training_fails_and_only_what_needs_it_is_left_out(run):
    one = run(LONG)
    one.cluster.kill(one.training())
    shown, error = one.end()
    assert error == "failed: train-lstm"
    assert {("failed", "train-lstm"), ("done", "baseline-demand")} <= shown
    assert one.cluster.tasks(one.id) == {"ingest-demand", "baseline-demand", "train-lstm"}
