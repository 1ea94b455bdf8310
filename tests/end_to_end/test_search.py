"""A tuned model through the compiled YAML and kfp.local: searched, trained with what was found, and reported."""

import json
import signal
import time

import pytest
from processes import alive

pytestmark = pytest.mark.slow
CONFIG = """\
seed: 1
datasets:
  fashion: {source: fashion_mnist, use: 0.01}
models:
  mlp:
    family: mlp
    dataset: fashion
    epochs: 2
    batch_size: 50
    tune:
      trials: 4
      parallel: 2
      epochs: 1
      ranges:
        learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
        hyperparameters.units: {values: [[8], [16, 8]]}
"""


@pytest.fixture(scope="module")
def tuned(project):
    """The config of a model with a search, and what its run printed."""
    config = project.folder / "configs" / "tuned.yaml"
    config.write_text(CONFIG)
    code, output = project.run("run", config)
    assert code == 0, output
    return config, output


def test_the_model_is_trained_with_what_the_search_found(project, tuned):
    assert set(project.states(tuned[1]).values()) == {"done"}
    assert "best trial" in tuned[1]
    run = project.folder / "runs/tuned/latest"
    found = json.loads((run / "models/mlp/tuning/trials.json").read_text())
    best = found["trials"][found["best"] - 1]
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 4
    spec = json.loads((run / "models/mlp/model.json").read_text())["spec"]
    assert spec["learning_rate"] == best["values"]["learning_rate"]
    assert spec["hyperparameters"] == {"units": best["values"]["hyperparameters.units"]}
    assert spec["epochs"] == 2
    page = (run / "report.html").read_text()
    assert "tune-mlp: done" in page
    assert "Search for hyperparameters" in page
    assert "epoch 1/1" in (run / "models/mlp/tuning/trial-1.log").read_text()
    assert not list((project.folder / "runs/tuned/.work/outputs/checkpoints").iterdir())


def test_an_unchanged_rerun_executes_nothing(project, tuned):
    code, output = project.run("run", tuned[0])
    assert code == 0, output
    assert {task for task, state in project.states(output).items() if state == "done"} == {"register"}


def test_a_search_that_is_killed_leaves_no_process_and_goes_on(project, tuned):
    """Its trainings are forked from the process that has imported TensorFlow, and are not its children."""
    home = project.folder / "runs/tuned"
    earlier = set(home.iterdir())
    changed = ["run", tuned[0], "--set", "seed=5"]
    process = project.start(*changed, start_new_session=True)
    deadline = time.monotonic() + 240
    # Of the first round one is done.
    while not any(
        "/4  val_accuracy" in log.read_text()
        for run in set(home.iterdir()) - earlier
        for log in run.glob("logs/tune-mlp.log")
    ):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    deadline = time.monotonic() + 20
    while alive(str(process.pid)):
        assert time.monotonic() < deadline, f"an orphan goes on: {alive(str(process.pid))}"
        time.sleep(0.1)
    code, output = project.run(*changed)
    assert code == 0, output
    assert "trained before the interruption" in (home / "latest/logs/tune-mlp.log").read_text()


def test_a_search_whose_trials_all_fail_is_told(project, tuned):
    ranges = "{learning_rate: {values: [1000.0]}, optimizer: {values: [sgd]}}"
    given = ["--set", f"models.mlp.tune.ranges={ranges}", "--set", "models.mlp.tune.trials=1"]
    code, output = project.run("run", tuned[0], *given)
    assert code == 1, output
    assert "tune-mlp failed: RuntimeError: all 1 trials failed; trial 1:" in output
    page = project.folder / output.split("report: ")[1].splitlines()[0]
    assert "all 1 trials failed" in page.read_text()
