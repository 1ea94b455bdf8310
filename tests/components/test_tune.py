"""A search for hyperparameters: real trainings in processes, killed, failing, and found again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kfp import dsl
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from processes import alive

from components.artifacts.search import Range, Search
from components.tune import here
from components.tune import tune as tune_step
from components.tune.component import tune
from components.tune.training import Training

ROOT = Path(__file__).parent.parent.parent
SPEC = {
    "family": "mlp",
    "dataset": "fashion",
    "batch_size": 50,
    "epochs": 2,
    "hyperparameters": {"units": [8], "norm": True},
}
TUNE = {
    "trials": 3,
    "parallel": 2,
    "epochs": 12,
    "ranges": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": {"low": 40, "high": 60},
        "hyperparameters.units": {"values": [[8], [16, 8]]},
        "optimizer": {"values": ["adam", "nadam"]},
    },
}


def arguments(folder, datasets, spec=SPEC, asked=TUNE, seed=1):
    return [
        spec["family"],
        json.dumps(spec),
        json.dumps(asked),
        seed,
        "x",
        str(datasets / spec["dataset"]),
        str(folder / "run" / "tune" / "trials"),
        str(folder / "tuned"),
        "{}",
        "",
        str(folder / "checkpoints"),
    ]


def search(folder, datasets, **given):
    """Run it here; what it found, and the specification that training gets."""
    (folder / "run" / "tune").mkdir(parents=True, exist_ok=True)
    found = tune_step.tune(*arguments(folder, datasets, **given))
    assert found == Search.load(folder / "run" / "tune" / "trials")
    assert not list((folder / "checkpoints").iterdir()), "what isn't needed any more is left"
    return found, json.loads((folder / "tuned").read_text())


def start(folder, datasets):
    """Run it in a process group of its own."""
    (folder / "run" / "tune").mkdir(parents=True, exist_ok=True)
    code = "import json, sys; from components.tune.tune import tune; tune(*json.loads(sys.argv[1]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(arguments(folder, datasets))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def without_seconds(found):
    return found.model_copy(update={"trials": [t.model_copy(update={"seconds": None}) for t in found.trials]})


def logs(folder):
    """What the trials printed that aren't done with, by their folder."""
    return {path.parent: path.read_text() for path in (folder / "checkpoints").glob("*/trials/*/log.txt")}


@pytest.fixture(scope="module")
def calm(datasets, tmp_path_factory):
    """A search that nobody disturbed, as KFP calls it; its folder, and what it found."""
    folder = tmp_path_factory.mktemp("calm")
    trials = dsl.Artifact(uri=str(folder / "run" / "tune" / "trials"))
    (folder / "run" / "tune").mkdir(parents=True)
    dataset = dsl.Dataset(uri=str(datasets / "fashion"))
    tune.python_func(
        "mlp", json.dumps(SPEC), json.dumps(TUNE), 1, "x", dataset, trials, str(folder / "tuned"),
        checkpoints=str(folder / "checkpoints"),
    )  # fmt: skip
    return folder, Search.load(trials.path)


def test_the_best_trial_gives_the_specification(calm):
    folder, found = calm
    assert (found.metric, found.mode) == ("val_accuracy", "max")
    assert [trial.number for trial in found.trials] == [1, 2, 3]
    assert all(trial.state == "complete" and trial.same_as is None for trial in found.trials)
    assert not [log for log in (folder / "run" / "tune" / "trials").glob("*.log") if "temperature" in log.read_text()]
    assert "calibrate" not in json.loads((folder / "tuned").read_text())
    for trial in found.trials:
        assert len(trial.scores) == 12
        assert trial.score == max(trial.scores) == trial.scores[trial.best_epoch - 1]
        assert trial.seconds > 0
        assert 1e-4 <= trial.values["learning_rate"] <= 1e-2
        assert isinstance(trial.values["batch_size"], int)
        assert trial.values["hyperparameters.units"] in [[8], [16, 8]]
    best = found.trials[found.best - 1]
    assert best.score == max(trial.score for trial in found.trials)
    values = dict(best.values)
    hyperparameters = {"units": values.pop("hyperparameters.units"), "norm": True}
    assert json.loads((folder / "tuned").read_text()) == {**SPEC, **values, "hyperparameters": hyperparameters}


def test_what_the_trials_printed_is_kept_and_nothing_else(calm):
    folder, _ = calm
    names = {path.name for path in (folder / "run" / "tune" / "trials").iterdir()}
    assert names == {"trials.json", *(f"trial-{number}.log" for number in range(1, 4))}
    assert "epoch 12/12" in (folder / "run" / "tune" / "trials" / "trial-3.log").read_text()
    assert not list((folder / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_search_that_is_ended_again_and_again_finds_the_same(calm, datasets, tmp_path, monkeypatch):
    """In the middle of trainings: the search alone is killed, then asked to end, then all is killed at once.

    It ends on one core, where the undisturbed one had what this machine has."""
    ends = [lambda p: p.kill(), lambda p: p.terminate(), lambda p: os.killpg(p.pid, signal.SIGKILL)]
    for round_number, end in enumerate(ends):
        before = logs(tmp_path)
        process = start(tmp_path, datasets)
        while not any(
            "epoch 2/12" in new or "going on from" in new
            for own, text in logs(tmp_path).items()
            for new in [text.removeprefix(before.get(own, ""))]
        ):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        end(process)
        process.wait(timeout=20)
        assert process.returncode == (143 if round_number == 1 else -signal.SIGKILL)
        deadline = time.monotonic() + 15
        while alive(text=str(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not alive(text=str(tmp_path)), "a training goes on without its search"
        assert not (tmp_path / "tuned").exists()
    done = {path.parent: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").glob("*/trials/*/outcome.json")}
    kept = logs(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    trained = []
    real = here.start
    monkeypatch.setattr(here, "start", lambda training: (trained.append(training.folder), real(training))[1])
    found, tuned = search(tmp_path, datasets)
    assert without_seconds(found) == without_seconds(calm[1])
    assert tuned == json.loads((calm[0] / "tuned").read_text())
    assert not set(done) & set(trained), "a trial that was done was trained again"
    assert len(trained) == 3 - len(done)
    assert any("epoch 2/12" in text for text in kept.values())
    texts = [path.read_text() for path in (tmp_path / "run" / "tune" / "trials").glob("*.log")]
    assert any("going on from the checkpoint" in text for text in texts), "no trial went on from where it was"


@pytest.mark.slow
def test_a_trial_that_fails_is_told_with_its_reason_and_the_search_goes_on(datasets, tmp_path, capsys):
    ranges = {"learning_rate": {"values": [0.01, 1000.0]}}
    asked = {"trials": 6, "parallel": 2, "epochs": 2, "ranges": ranges}
    spec = {**SPEC, "optimizer": "sgd", "hyperparameters": {"units": [8]}}
    found, tuned = search(tmp_path, datasets, asked=asked, spec=spec)
    states = {trial.values["learning_rate"]: trial for trial in found.trials if trial.same_as is None}
    assert states[1000.0].state == "failed"
    assert states[1000.0].reason.startswith("RuntimeError: the loss is NaN or infinite at step")
    assert (states[1000.0].score, states[1000.0].scores) == (None, [])
    assert states[0.01].state == "complete"
    assert tuned["learning_rate"] == 0.01
    assert found.best == states[0.01].number, "of equal ones the first"
    said = capsys.readouterr().out
    assert f"trial {states[1000.0].number}/6  failed: RuntimeError: the loss is NaN" in said
    # The same values give the same again: nobody trains them twice.
    assert len(states) == 2
    assert len(list((tmp_path / "run" / "tune" / "trials").glob("*.log"))) == 2
    for trial in found.trials:
        first = states[trial.values["learning_rate"]]
        assert trial.same_as == (None if trial is first else first.number)
        assert (trial.state, trial.score, trial.scores) == (first.state, first.score, first.scores)
        if trial.same_as:
            assert f"trial {trial.number}/6  as trial {first.number}; learning_rate" in said


@pytest.mark.slow
def test_where_all_trials_fail_the_task_does(datasets, tmp_path):
    asked = {"trials": 2, "parallel": 2, "ranges": {"learning_rate": {"values": [1000.0, 999.0]}}}
    spec = {**SPEC, "optimizer": "sgd", "hyperparameters": {"units": [8]}}
    with pytest.raises(
        RuntimeError, match="all 2 trials failed; trial 1: RuntimeError: the loss is NaN or infinite at"
    ):
        search(tmp_path, datasets, asked=asked, spec=spec)
    assert not (tmp_path / "tuned").exists()
    assert not list((tmp_path / "checkpoints").iterdir()), "another start tries them again"


@pytest.mark.slow
def test_of_forecasts_the_smallest_error_is_the_best(datasets, tmp_path):
    spec = {"family": "mlp", "dataset": "electricity", "epochs": 1, "hyperparameters": {"units": [8]}}
    asked = {"trials": 2, "parallel": 2, "ranges": {"learning_rate": {"low": 1e-6, "high": 0.01}}}
    found, tuned = search(tmp_path, datasets, spec=spec, asked=asked)
    assert (found.metric, found.mode) == ("val_mae", "min")
    best = min(found.trials, key=lambda trial: trial.score)
    assert found.best == best.number
    assert tuned == {**spec, "learning_rate": best.values["learning_rate"]}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_training_has_failed_and_one_that_is_told_to_end_ends_the_search(tmp_path, monkeypatch, number):
    start = here.start

    def start_and_end(training):
        process = start(training)
        process.send_signal(number)
        return process

    monkeypatch.setattr(here, "start", start_and_end)
    before = [signal.getsignal(each) for each in here.STOPPING]
    training = Training(1, {}, tmp_path / "own", {})
    if number == signal.SIGKILL:
        reason = "it ended without an error of its own (killed, or out of memory)"
        assert list(here.train_here([training])) == [(training, reason)]
    else:
        with pytest.raises(SystemExit, match=str(128 + number)):
            list(here.train_here([training]))
    assert [signal.getsignal(each) for each in here.STOPPING] == before


def test_a_training_that_was_done_before_anyone_took_note_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(here, "start", None)
    training = Training(1, {}, tmp_path, {})
    training.model.mkdir()
    assert list(here.train_here([training])) == [(training, "")]


def test_no_more_trainings_than_cores_run_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(here, "POLL_SECONDS", 0.0)
    beside, most = set(), []

    class Process:
        def __init__(self, module, output, env):
            assert env["TF_NUM_INTRAOP_THREADS"] == "1"
            self.polled, self.returncode = 0, 0
            beside.add(self)
            most.append(len(beside))

        def poll(self):
            self.polled += 1
            if self.polled < 5:
                return None
            beside.discard(self)
            return 0

    monkeypatch.setattr(here, "start_module", Process)
    trainings = [Training(n, {}, tmp_path / str(n), {}) for n in range(8)]
    assert [training for training, _ in here.train_here(trainings)] == trainings
    assert max(most) == 3


def test_ranges_become_distributions():
    made = [
        tune_step._distribution(Range(**one))
        for one in (
            {"low": 1e-4, "high": 1e-2, "log": True},
            {"low": 0, "high": 0.5},
            {"low": 1, "high": 64, "log": True},
            {"low": 1, "high": 3},
            {"values": [[1], [2, 3], None]},
        )
    ]
    assert made == [
        FloatDistribution(1e-4, 1e-2, log=True),
        FloatDistribution(0.0, 0.5),
        IntDistribution(1, 64, log=True),
        IntDistribution(1, 3),
        CategoricalDistribution((0, 1, 2)),
    ]


def simulated(asked, seed, folder, score, order=1):
    """The trials of a search whose trainings are a formula, and end in another order."""

    def training(number, values):
        own = folder / tune_step._digest(values)
        own.mkdir(parents=True, exist_ok=True)
        return Training(number, values, own, {})

    def train(trainings):
        for one in trainings[::order]:
            model = {"epochs": [score(one.values)]}
            one.outcome.write_text(json.dumps(model))
            yield one, ""

    def outcome(done, reason, metric):
        value = score(done.values)
        return {"state": "complete", "scores": [value], "score": value, "best_epoch": 1, "seconds": 0.0}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_step, "_outcome", outcome)
        trials, _ = tune_step._search(
            Search.model_fields["tune"].annotation(**asked), seed, "m", "min", training, train, lambda: None
        )
    return trials


def test_values_depend_on_seed_and_rounds_and_not_on_which_ends_first(tmp_path):
    asked = {"trials": 30, "parallel": 4, "ranges": {"x": {"low": -1.0, "high": 1.0}, "n": {"low": 1, "high": 50}}}

    def score(values):
        return (values["x"] - 0.3) ** 2 + abs(values["n"] - 20) / 50

    first = simulated(asked, 1, tmp_path / "1", score)
    assert simulated(asked, 1, tmp_path / "2", score, order=-1) == first
    assert simulated(asked, 2, tmp_path / "3", score) != first
    assert simulated({**asked, "parallel": 1}, 1, tmp_path / "4", score) != first
    early, late = ([score(t.values) for t in part] for part in (first[:10], first[20:]))
    assert sum(late) / 10 < sum(early) / 10, "it doesn't learn from what it saw"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "complete"}', None, "other score"])
def test_a_damaged_outcome_is_trained_again(tmp_path, content, capsys):
    asked = {"trials": 3, "ranges": {"x": {"low": -1.0, "high": 1.0}}}
    first = simulated(asked, 1, tmp_path, lambda values: values["x"] ** 2)
    assert simulated(asked, 1, tmp_path, None) == first, "what is whole is trained again"
    assert "damaged" not in capsys.readouterr().out
    path = next(tmp_path.glob("*/outcome.json"))
    if content is None:
        path.unlink()
        path.mkdir()
    elif content == "other score":
        path.write_text(json.dumps({**json.loads(path.read_text()), "score": -1.0}))
    else:
        path.write_text(content)
    assert simulated(asked, 1, tmp_path, lambda values: values["x"] ** 2) == first
    assert capsys.readouterr().out.count("outcome.json is damaged, it is trained again") == 1
