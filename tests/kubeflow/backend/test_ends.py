"""How a run and its trainings end on Kubeflow's own programs, as docs/kubeflow.md says."""

LONG = 2000  # epochs, of which no test waits for the last


def test_a_killed_training_fails_and_only_what_needs_it_is_left_out(run):
    one = run(LONG)
    one.cluster.kill(one.training())
    shown, error = one.end()
    assert error == "failed: train-lstm"
    assert {("failed", "train-lstm"), ("done", "baseline-demand")} <= shown
    assert one.cluster.tasks(one.id) <= {"ingest-demand", "baseline-demand", "train-lstm"}


def test_a_cancelled_run_has_failed(run):
    one = run(LONG)
    one.training()
    one.terminate()
    shown, error = one.end()
    assert error == "failed: train-lstm"
    assert {("failed", "train-lstm"), ("done", "baseline-demand")} <= shown


def test_a_training_ends_after_timeout_hours_and_is_not_tried_again(run):
    one = run(LONG, "timeout_hours: 0.03, retries: 1")
    assert one.end()[1] == "failed: train-lstm"
    (pod,) = one.cluster.run_pods(one.id, "train-lstm")
    assert pod.spec.active_deadline_seconds == 108
    assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
