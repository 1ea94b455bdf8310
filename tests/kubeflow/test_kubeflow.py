"""submit --kubeflow: the command line and its kfp.Client against a server that speaks Kubeflow's REST API."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

IMAGE = f"example.com/keras-pipeline-python@sha256:{'a' * 64}"
pytestmark = pytest.mark.slow
BUILT = Path("build/kf_small-kubeflow.yaml")
NOTE = "note: kubeflow.claim isn't set: a checkpoint goes with its pod\n"
UNREGISTERED = "note: neither kubeflow.registry nor kubeflow.claim is set: no model is registered\n"
NOTHING = {"pipelines": [], "pipeline_versions": [], "experiments": [], "runs": []}
TOKEN = "a-token.of_somebody-1234"  # noqa: S105


@pytest.fixture
def submit(kubeflow, config, command_server):
    """Run the command line for the server, as somebody whose home is empty and stays so."""

    def run(*arguments, host=kubeflow.host, **environment):
        own = {key: value for key, value in os.environ.items() if not key.startswith(("KUBEFLOW", "KF_"))}
        own |= {"HOME": str(command_server.home), "IMAGE": IMAGE, "IMAGE_GPU": IMAGE, **environment}
        return command_server.run("submit", config, "--kubeflow", host, *arguments, env=own)

    yield run
    assert not list(command_server.home.rglob("*"))


def started(done, kubeflow, name):
    """Standard output is the run and its address, and there is nothing else; returns the run."""
    assert done.returncode == 0, done.stderr
    run = next(run for run in reversed(kubeflow.resources()["runs"]) if run["display_name"] == name)
    note = NOTE if "registry" in run["runtime_config"]["parameters"] else NOTE + UNREGISTERED
    assert done.stdout == f"started {name}\n{kubeflow.host}/#/runs/details/{run['run_id']}\n{note}"
    assert not done.stderr
    return run


def refused(done, *parts):
    """It ended with code 2 and one line."""
    assert (done.returncode, done.stdout) == (2, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts), line


def names(resources):
    return {kind: [one["display_name"] for one in found] for kind, found in resources.items()}


def test_the_first_submit_makes_a_pipeline_and_the_second_a_version(submit, kubeflow):
    first = started(submit("--job-id", "one", "--parameter", "registry=/shared"), kubeflow, "one")
    (upload,) = kubeflow.requests("POST pipelines/upload")
    assert upload["file"] == BUILT.read_bytes()
    digest = hashlib.sha256(upload["file"]).hexdigest()
    assert upload["query"] == {"name": "kf-small", "description": f"submitted as one, SHA-256 {digest}"}
    assert first["runtime_config"]["parameters"].pop("pipeline_sha256") == digest
    assert first["runtime_config"]["parameters"] == {"registry": "/shared"}

    second = started(submit("--job-id", "two"), kubeflow, "two")
    (upload,) = kubeflow.requests("POST pipelines/upload_version")
    assert upload["file"] == BUILT.read_bytes()
    there = kubeflow.resources()
    once = {"pipelines": ["kf-small"], "experiments": ["kf-small"]}
    assert names(there) == {**once, "pipeline_versions": ["kf-small", "two"], "runs": ["one", "two"]}
    for run, version in zip((first, second), there["pipeline_versions"], strict=True):
        own = {key: version[key] for key in ("pipeline_id", "pipeline_version_id")}
        assert (run["pipeline_version_reference"], own["pipeline_id"]) == (own, there["pipelines"][0]["pipeline_id"])
        assert run["experiment_id"] == there["experiments"][0]["experiment_id"]


def test_a_namespace_arrives_everywhere(submit, kubeflow):
    kubeflow.namespaces = ["team-a", "team-b"]
    refused(submit(), "several users: --namespace is missing")
    assert kubeflow.resources() == NOTHING
    for namespace in ("team-a", "team-b"):
        for name in ("one", "two"):
            name = f"{name}-{namespace}"
            started(submit("--namespace", namespace, "--job-id", name), kubeflow, name)
    there = kubeflow.resources()
    for kind in ("pipelines", "experiments"):
        assert [one["namespace"] for one in there[kind]] == ["team-a", "team-b"]
    assert len(there["pipeline_versions"]) == len(there["runs"]) == 4
    refused(submit("--namespace", "team-c"), "403", "you may not see namespace team-c")


def test_a_token_arrives_and_is_not_said(submit, kubeflow):
    kubeflow.token = TOKEN
    refused(submit(), "401", "no user identity", "KUBEFLOW_TOKEN holds the token")
    started(submit("--job-id", "one", KUBEFLOW_TOKEN=f"{TOKEN}\n"), kubeflow, "one")
    asked = kubeflow.requests()
    assert {one["authorization"] for one in asked} == {None, f"Bearer {TOKEN}"}
    assert TOKEN not in BUILT.read_text(encoding="utf-8")

    kubeflow.fault("POST runs", status=400, message=f"no run for Bearer {TOKEN}")
    done = submit(KUBEFLOW_TOKEN=TOKEN)
    refused(done, "400 no run for Bearer ***")
    assert TOKEN not in done.stderr
    done = submit(KUBEFLOW_TOKEN=f"{TOKEN}\nX-Other: 1")
    refused(done, "KUBEFLOW_TOKEN: holds characters that no token has")
    assert TOKEN not in done.stderr


STATUSES = {"GET healthz": (401, 500), "GET pipelines": (403,), "POST pipelines/upload": (400, 409, 500)}
STATUSES |= {"GET pipelines/*": (500,), "GET experiments": (403,), "POST experiments": (403,), "POST runs": (401, 500)}


@pytest.mark.parametrize(("path", "status"), [(path, one) for path, several in STATUSES.items() for one in several])
def test_whatever_is_refused_is_one_line_and_leaves_nothing(submit, kubeflow, path, status):
    kubeflow.fault(path, status=status, message="the reason\nin two lines")
    refused(submit("--job-id", "one"), f"refuses one: {status} the reason in two lines")
    assert kubeflow.resources() == NOTHING


def test_a_refused_second_run_leaves_the_first(submit, kubeflow):
    started(submit("--job-id", "one"), kubeflow, "one")
    started(submit("--job-id", "two"), kubeflow, "two")
    before = kubeflow.resources()
    refused(submit("--job-id", "two"), "409", "the name is taken")
    for path in ("POST pipelines/upload_version", "POST runs"):
        kubeflow.fault(path, status=403, message="quota")
        refused(submit("--job-id", "three"), "refuses three: 403 quota")
    assert kubeflow.resources() == before


def test_what_cannot_be_taken_back_is_named(submit, kubeflow):
    kubeflow.fault("POST runs", status=400, message="quota")
    kubeflow.fault("DELETE *", status=403, times=9)
    refused(submit(), "400 quota", "still there: the experiment kf-small, the pipeline kf-small")


def test_a_service_that_is_away_for_a_moment_is_asked_again(submit, kubeflow):
    kubeflow.fault("GET healthz", status=503, times=2)
    kubeflow.fault("GET experiments", drop=True)
    started(submit("--job-id", "one"), kubeflow, "one")
    kubeflow.fault("GET healthz", status=503, times=9, message="no healthy upstream")
    refused(submit("--job-id", "two"), "503 no healthy upstream")
    assert len(kubeflow.resources()["runs"]) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 502, "body": "<h1>Bad</h1>"}, {"drop": True}])
def test_a_lost_answer_makes_nothing_twice(submit, kubeflow, fault):
    changes = ["POST pipelines/upload", "POST experiments", "POST runs"]
    for change in changes:
        kubeflow.fault(change, committed=True, **fault)
    started(submit("--job-id", "one"), kubeflow, "one")
    kubeflow.fault("POST pipelines/upload_version", committed=True, **fault)
    started(submit("--job-id", "two"), kubeflow, "two")
    assert names(kubeflow.resources())["pipeline_versions"] == ["kf-small", "two"]
    assert [len(kubeflow.requests(change)) for change in changes] == [1, 1, 2]


def test_a_run_that_may_be_there_keeps_its_version(submit, kubeflow):
    kubeflow.fault("POST runs", drop=True)
    refused(submit("--job-id", "one"), "can't be reached")
    assert kubeflow.resources() == NOTHING
    kubeflow.fault("POST runs", drop=True, committed=True)
    kubeflow.fault("GET runs", drop=True, times=9)
    refused(submit("--job-id", "two"), "lost while it made the run two: see whether it's there")
    assert names(kubeflow.resources())["runs"] == ["two"]
    assert names(kubeflow.resources())["pipeline_versions"] == ["kf-small"]


def test_a_service_that_is_none_is_one_line(submit, kubeflow):
    kubeflow.fault("GET healthz", status=200, body="<html>sign in</html>")
    refused(submit(), "answers with text/html, not as Kubeflow Pipelines does", "KUBEFLOW_TOKEN")
    refused(submit(host=f"{kubeflow.host}/elsewhere"), "404")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"127.0.0.1:{closed.getsockname()[1]}"
    refused(submit(host=f"http://{nowhere}"), f"Kubeflow at http://{nowhere} can't be reached", "Connection refused")
    refused(submit(host=kubeflow.host.replace("http:", "https:")), "can't be reached", "SSL")
    assert kubeflow.resources() == NOTHING


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "localhost:8080"}, "--kubeflow localhost:8080: expected an address such as http://localhost:8080"),
        ({"host": "ftp://x"}, "--kubeflow ftp://x: expected an address"),
        ({"host": "http://x:99999"}, "--kubeflow http://x:99999: expected an address"),
        ({"host": "http://me:secret@x"}, "--kubeflow x: expected an address"),
        ({"host": "http://x/#/runs"}, "--kubeflow http://x/#/runs: expected an address"),
        ({"parameter": "regsitry=x"}, "parameter regsitry: the pipeline has none of this name"),
        ({"parameter": "registry=5"}, "parameter registry: 5, expected STRING"),
        ({"set": "models.lstm.machine=multi-worker"}, "machine multi-worker has 2 workers, which Vertex AI alone can"),
        ({"set": "kubeflow.claim=My_Models"}, "kubeflow.claim: 'My_Models'"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_sent(submit, kubeflow, given, said):
    host = given.pop("host", kubeflow.host)
    refused(submit(*(part for key, value in given.items() for part in (f"--{key}", value)), host=host), said)
    assert not kubeflow.requests()


def test_a_dry_run_says_all_and_sends_nothing(submit, kubeflow):
    done = submit("--dry-run", "--job-id", "one", "--namespace", "team-a", "--parameter", "registry=/shared")
    assert done.returncode == 0, done.stderr
    assert not kubeflow.requests()
    told, end = done.stdout.split(NOTE)[0], "nothing was sent\n"
    assert told.endswith(end)
    digest = hashlib.sha256(BUILT.read_bytes()).hexdigest()
    assert yaml.safe_load(told.removesuffix(end)) == {
        "parameters": {"pipeline_sha256": digest, "registry": "/shared"},
        "pipeline_spec": f"{BUILT}, SHA-256 {digest}",
        **{"host": kubeflow.host, "namespace": "team-a", "pipeline": "kf-small", "experiment": "kf-small"},
        **dict.fromkeys(("version", "run"), "one"),
    }
    refused(submit("--check"), "--check: looks at Vertex AI")
    assert not kubeflow.requests()


def test_data_that_no_pod_can_read_are_refused_before_anything_is_sent(submit, kubeflow, config):
    rows = [f"2024-01-{1 + i:02},{i}\n" for i in range(28)]
    config.with_name("sales.csv").write_text("day,units\n" + "".join(rows))
    options = "source: csv, path: sales.csv, time: day, target: units, frequency: D, lookback: 2, horizon: 1"
    config.write_text(f"datasets: {{demand: {{{options}}}}}\nmodels: {{lstm: {{family: lstm, dataset: demand}}}}\n")
    refused(submit(), "datasets.demand: path: ", "sales.csv' is on this machine; copy it to a bucket and say gs://")
    assert not kubeflow.requests()


def test_with_a_claim_nothing_is_noted(submit):
    done = submit("--set", "kubeflow.claim=models")
    assert done.returncode == 0, done.stderr
    assert "note" not in done.stdout


def test_waiting_ends_with_the_run(submit, kubeflow):
    refused(submit("--fail-fast"), "--fail-fast: ", "with --wait")
    done = submit("--wait", "--job-id", "one", "--fail-fast")
    assert done.returncode == 0, done.stderr
    spec = next(yaml.safe_load_all(BUILT.read_text(encoding="utf-8")))
    ended = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("done ")]
    assert sorted(ended) == sorted(spec["root"]["dag"]["tasks"])


@pytest.mark.parametrize("fails", ["train-lstm", "train-lstm-driver"])
def test_a_run_that_fails_names_the_task(submit, kubeflow, fails):
    kubeflow.fails = [fails]
    done = submit("--wait", "--job-id", "one")
    assert done.returncode == 1, done.stdout + done.stderr
    run = kubeflow.resources()["runs"][0]["run_id"]
    page = f"{kubeflow.host}/#/runs/details/{run} shows what the tasks printed"
    assert done.stdout.splitlines()[-2:] == ["error: one failed: train-lstm", page]
    assert not done.stderr


def test_ctrl_c_ends_the_following_alone(kubeflow, config):
    kubeflow.pace = 0
    command = [sys.executable, "-m", "pipeline", "submit", str(config), "--kubeflow", kubeflow.host, "--wait"]
    own = {**os.environ, "IMAGE": IMAGE, "IMAGE_GPU": IMAGE}
    process = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True)
    while not any(asked["call"].startswith("GET runs/") for asked in kubeflow.requests()):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no longer following; the run goes on: http" in said
    assert kubeflow.resources()["runs"][0]["state"] == "RUNNING"
