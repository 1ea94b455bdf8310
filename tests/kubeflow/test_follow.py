"""Following a run: what is shown while it goes on, and a service that is away meanwhile."""

import io

import pytest
from rich.console import Console

from components.common.errors import InputError
from pipeline.kubeflow import follow as following
from pipeline.kubeflow.client import connect
from pipeline.kubeflow.submit import submit_kubeflow
from pipeline.vertex.follow import JobFailedError


@pytest.fixture
def follow(kubeflow, compiled_for_kubeflow):
    """Submit a run and follow it; what was shown, a line each."""
    file, tasks = compiled_for_kubeflow

    def run(before=lambda: None, fail_fast=False):
        client, started = submit_kubeflow(file, kubeflow.host, "kf-small", "one", {}, None)
        before()
        console = Console(file=io.StringIO(), width=200)
        following.follow(client, started, tasks, console, fail_fast, poll_seconds=0.01)
        return console.file.getvalue().splitlines()

    run.tasks = tasks
    return run


def test_each_task_starts_and_ends_once_and_after_those_that_it_needs(follow, kubeflow):
    kubeflow.control(pace=1)
    shown = [line.split()[:2] for line in follow()]
    assert sorted(task for state, task in shown if state == "done") == sorted(follow.tasks)
    assert {state for state, _ in shown} <= {"running", "done"}
    assert len(shown) == len({tuple(one) for one in shown})
    for task in ("ingest-demand", "train-lstm", "evaluate-lstm", "compare", "report"):
        assert ["done", task] in shown
    assert shown.index(["done", "ingest-demand"]) < shown.index(["done", "train-lstm"])


def test_what_does_not_need_a_failed_task_goes_on(follow, kubeflow):
    kubeflow.control(pace=1, fails=["baseline-demand"])
    with pytest.raises(JobFailedError, match=r"^one failed: baseline-demand$"):
        follow()
    assert {"evaluate-lstm", "export-lstm"} <= succeeded(kubeflow)


def test_fail_fast_ends_the_run_at_the_first_failed_task(follow, kubeflow):
    kubeflow.control(pace=1, fails=["baseline-demand"])
    with pytest.raises(JobFailedError, match=r"^one canceled: baseline-demand$"):
        follow(fail_fast=True)
    assert not {"evaluate-lstm", "export-lstm"} & succeeded(kubeflow)


def succeeded(kubeflow):
    (run,) = kubeflow.resources()["runs"]
    return {task["display_name"] for task in run["run_details"]["task_details"] if task["state"] == "SUCCEEDED"}


def test_a_service_that_is_away_is_asked_again(follow, kubeflow):
    kubeflow.control(pace=2)

    def away():
        kubeflow.fault("GET runs/*", status=503, times=9)
        kubeflow.fault("GET runs/*", drop=True, times=3)

    assert follow(away)


def test_a_service_that_stays_away_or_refuses_is_one_line(follow, kubeflow, monkeypatch):
    monkeypatch.setattr(following, "LOST_SECONDS", 0.02)
    with pytest.raises(InputError, match="503 no healthy upstream; the run goes on"):
        follow(lambda: kubeflow.fault("GET runs/*", status=503, times=99, message="no healthy upstream"))
    kubeflow.control(reset=True)
    with pytest.raises(InputError, match="401 expired; KUBEFLOW_TOKEN holds the token; the run goes on"):
        follow(lambda: kubeflow.fault("GET runs/*", status=401, message="expired"))


def test_a_run_that_is_gone_is_one_line(kubeflow, compiled_for_kubeflow):
    with pytest.raises(InputError, match=r"404 .*not found"):
        following.follow(connect(kubeflow.host, None, None), "0" * 8, [], Console(file=io.StringIO()))
