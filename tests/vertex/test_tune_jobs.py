"""A search on Vertex: a CustomJob for each trial, those of a round beside each other, found again and cancelled."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_job import IMAGE, RUN, created, vertex

from components.common.errors import InputError
from components.ingest.ingest import ingest
from components.tune import tune as tune_step
from components.vertex import lease
from components.vertex.checkpoints import OWN_BUCKET
from pipeline.graph.task_machines import placement

PROJECT = Path(__file__).parent.parent.parent
NAME = "families-20261124-1-tune-mlp-trial"
SPEC = {"family": "mlp", "dataset": "fashion", "epochs": 1, "batch_size": 50, "hyperparameters": {"units": [8]}}
TUNE = {"trials": 3, "parallel": 2, "ranges": {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}}
# Runs a task as its container would, with the bucket where it is here.
CODE = (
    "import json, sys; from pathlib import Path; from components.vertex import custom_job\n"
    "from components.common import files\n"
    "files.MOUNT, custom_job.POLL_SECONDS = Path(sys.argv[1]), 0.1\n"
    "from components.tune.tune import tune; tune(*json.loads(sys.argv[2]))\n"
)


@pytest.fixture
def bucket(bucket, monkeypatch):
    """The folder that a bucket is mounted at, with a data set."""
    # A search that was killed still holds its folder for so long.
    monkeypatch.setattr(lease, "SECONDS", 2.0)
    ingest("fashion", json.dumps({"source": "fashion_mnist", "use": 0.01}), str(bucket / "data"))
    return bucket


def arguments(bucket, where=None, asked=TUNE):
    """Of the task; `where` is its Vertex, or "" for this machine."""
    task = bucket / RUN / "tune-mlp_-42"
    task.mkdir(parents=True, exist_ok=True)
    where = vertex().model_dump_json() if where is None else where
    placed = placement("gpu-t4", "vertex", job=True).model_dump_json()
    return ["mlp", json.dumps(SPEC), json.dumps(asked), 1, "x", str(bucket / "data"), str(task / "trials"),
            str(task / "tuned"), placed, where, OWN_BUCKET if where else str(bucket / "checkpoints")]  # fmt: skip


def start(cloud, bucket):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(cloud.folder / "buckets"), json.dumps(arguments(bucket))],
        cwd=PROJECT,
        env={**os.environ, **cloud.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_search_follows_its_jobs_and_finds_what_one_machine_finds(cloud, bucket, tmp_path, capsys):
    env = {"AIP_TENSORBOARD_LOG_DIR": "", "TF_NUM_INTRAOP_THREADS": "1", **cloud.environment()}
    env |= {"GOOGLE_AUTH_TOKEN_FOR_TESTING": "any"}
    cloud.control(anonymous=True, custom_job={"run": True, "cwd": str(PROJECT), "env": env})
    process = start(cloud, bucket)
    until(lambda: len(created(cloud)) == 2, process)
    process.kill()
    process.wait()
    found = tune_step.tune(*arguments(bucket))
    said = capsys.readouterr().out
    assert said.count("which is there already") == 2
    assert {job["display_name"] for job in created(cloud)} == {f"{NAME}-{number}" for number in (1, 2, 3)}
    for job in created(cloud):
        (pool,) = job["job_spec"]["worker_pool_specs"]
        assert pool["machine_spec"]["accelerator_type"] == "NVIDIA_TESLA_T4"
        assert pool["container_spec"]["image_uri"] == IMAGE
        assert pool["container_spec"]["command"] == ["python3", "-m", "components.train"]
        number = job["display_name"].rsplit("-", 1)[-1]
        prefix = job["job_spec"]["base_output_directory"]["output_uri_prefix"]
        assert prefix == f"gs://bucket/{RUN}/tune-mlp_-42/jobs/trial-{number}"
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    task = bucket / RUN / "tune-mlp_-42"
    assert json.loads((task / "trials" / "trials.json").read_text()) == found.model_dump()
    best = found.trials[found.best - 1]
    assert json.loads((task / "tuned").read_text())["learning_rate"] == best.values["learning_rate"]
    assert not list((bucket / "checkpoints").rglob("*"))
    here = tune_step.tune(
        *arguments(tmp_path / "here", "")[:5], str(bucket / "data"), *arguments(tmp_path / "here", "")[6:]
    )
    same = {"seconds": None}
    assert [t.model_copy(update=same) for t in here.trials] == [t.model_copy(update=same) for t in found.trials]


def test_jobs_that_fail_are_trials_that_failed(cloud, bucket):
    cloud.control(custom_job={"outcome": "FAILED", "message": "out of memory\non workerpool0-0"})
    with pytest.raises(
        RuntimeError, match=r"all 3 trials failed; trial 1: projects/.* failed: out of memory on worker"
    ):
        tune_step.tune(*arguments(bucket))
    assert len(created(cloud)) == 3


def test_a_refused_job_ends_the_search_and_cancels_the_others(cloud, bucket):
    cloud.control(hold=True, quota={"custom_model_training_nvidia_t4_gpus": 1})
    with pytest.raises(InputError, match=r"the quota .* is used up or 0"):
        tune_step.tune(*arguments(bucket))
    assert len(cloud.requests("CancelCustomJob")) == 1
    assert not (bucket / RUN / "tune-mlp_-42" / "tuned").exists()


@pytest.mark.slow
def test_a_cancelled_task_cancels_the_jobs_of_its_round(cloud, bucket):
    cloud.control(hold=True)
    process = start(cloud, bucket)
    until(lambda: len(created(cloud)) == 2 and cloud.requests("GetCustomJob"), process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 143, output
    assert len(cloud.requests("CancelCustomJob")) == 2
