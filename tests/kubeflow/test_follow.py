"""Following a run: what is shown while it goes on, and a service that is away meanwhile."""

import io

import pytest
from rich.console import Console

from components.common.errors import InputError
from pipeline.kubeflow import client
from pipeline.kubeflow import follow as following
from pipeline.kubeflow.submit import submit_kubeflow
from pipeline.vertex.follow import JobFailedError


@pytest.fixture
def follow(kubeflow, compiled):
    """Submit a run and follow it; what was shown, a line each."""
    file, tasks = compiled("kubeflow")

    def run(before=lambda: None, fail_fast=False):
        connected, started = submit_kubeflow(file, kubeflow.host, "kf-small", "one", {}, None)
        before()
        console = Console(file=io.StringIO(), width=200)
        following.follow(connected, started, tasks, console, fail_fast, poll_seconds=0.01)
        return console.file.getvalue().splitlines()

    run.tasks = tasks
    return run


def test_each_task_starts_and_ends_once_and_after_those_that_it_needs(follow, kubeflow):
    kubeflow.pace = 1
    shown = [line.split()[:2] for line in follow()]
    assert sorted(task for state, task in shown if state == "done") == sorted(follow.tasks)
    assert {state for state, _ in shown} <= {"running", "done"}
    assert len(shown) == len({tuple(one) for one in shown})
    for task in ("ingest-demand", "train-lstm", "evaluate-lstm", "compare", "report"):
        assert ["done", task] in shown
    assert shown.index(["done", "ingest-demand"]) < shown.index(["done", "train-lstm"])


@pytest.mark.parametrize("fail_fast", [False, True])
def test_what_does_not_need_a_failed_task_goes_on_unless_it_is_ended(follow, kubeflow, fail_fast):
    kubeflow.pace, kubeflow.fails = 1, ["baseline-demand"]
    with pytest.raises(JobFailedError, match=r"^one failed: baseline-demand$"):
        follow(fail_fast=fail_fast)
    others = {"evaluate-lstm", "export-lstm"}
    assert others & succeeded(kubeflow) == (set() if fail_fast else others)


def succeeded(kubeflow):
    (run,) = kubeflow.resources()["runs"]
    return {task["display_name"] for task in run["run_details"]["task_details"] if task["state"] == "SUCCEEDED"}


def test_a_service_that_is_away_is_asked_again(follow, kubeflow):
    kubeflow.pace = 2

    def away():
        kubeflow.fault("GET runs/*", status=503, times=9)
        kubeflow.fault("GET runs/*", drop=True, times=3)

    assert follow(away)


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_service_that_stays_away_or_refuses_is_one_line(follow, kubeflow, monkeypatch, status):
    monkeypatch.setattr(following, "LOST_SECONDS", 0.02)
    hint = "; KUBEFLOW_TOKEN holds the token" if status == 401 else ""
    with pytest.raises(InputError, match=rf"{status} the reason{hint}; the run goes on\Z"):
        follow(lambda: kubeflow.fault("GET runs/*", status=status, times=99, message="the reason"))


def test_a_service_that_says_nothing_is_given_up(kubeflow, compiled, monkeypatch):
    monkeypatch.setattr(client, "_READ_SECONDS", 0.2)
    kubeflow.fault("GET healthz", seconds=1, times=9)
    with pytest.raises(InputError, match="can't be reached: Read timed out"):
        submit_kubeflow(compiled("kubeflow")[0], kubeflow.host, "kf_small", "one", {}, None)
