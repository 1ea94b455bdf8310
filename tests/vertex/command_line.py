"""The command line against a server that speaks the real protocol; conftest.py has its fixture `pipeline`."""

CONFIG = """\
seed: 1
vertex: {service_account: runner@my-project.iam.gserviceaccount.com, labels: {team: vision}}
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4, hyperparameters: {units: 8}}
"""
TASKS = [
    "baseline-demand",
    "compare",
    "evaluate-lstm",
    "export-lstm",
    "ingest-demand",
    "register",
    "report",
    "train-lstm",
]


def submit(pipeline, config, *arguments, **environment):
    return pipeline("submit", config, "--bucket", "gs://bucket/runs", *arguments, **environment)


def refused(done, *parts):
    """It ended with code 2, and one line that says so."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def created(cloud):
    return cloud.requests("CreatePipelineJob")
