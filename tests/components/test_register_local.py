"""The registry on this machine: `current` is the best model, and what was changed by hand is noticed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from registering import Run
from small_run import MODELS

from components.artifacts.dataset import load_info
from components.artifacts.evaluation import load_predictions
from components.artifacts.export import SAVED_MODEL
from components.artifacts.registration import KEY, check_registration
from components.common.errors import InputError
from components.common.files import folder_digest
from components.data import storage
from components.ingest.ingest import ingest
from components.metrics.bootstrap import errors
from components.register import challenge
from components.register.challenge import ERRORS, score


@pytest.fixture
def run(results, tmp_path):
    """Registers models of chosen mistakes in a folder."""
    return Run(results, tmp_path)


@pytest.fixture(params=["a folder", "a bucket"])
def either(request, results, tmp_path):
    """Registers them in a folder, and in a bucket: the rules are the same."""
    run = Run(results, tmp_path)
    if request.param == "a bucket":
        run.into(request.getfixturevalue("cloud"))
    return run


def test_a_worse_one_never_takes_the_place_and_the_same_one_is_a_version_once(either):
    """The README's promise, in the order in which it was broken: good, bad, good again."""
    first = either("good", range(11))
    assert (first.action, first.version) == ("registered", "1")
    assert first.sentence == "fashion: good is registered as version 1: accuracy 0.8900"
    assert first.path == f"{either.place}/test/fashion/1"
    worse = either("bad", range(40))
    assert (worse.action, worse.version) == ("kept", "1")
    assert worse.sentence == "fashion: kept version 1: accuracy 0.8900 against 0.6000 of bad"
    again = either("good", range(11))
    assert (again.action, again.sentence) == ("kept", "fashion: good is version 1 already")
    assert (either.current(), either.versions()) == ("1", ["1"])


def test_a_better_one_takes_the_place(either):
    either("bad", range(40))
    better = either("good", range(11))
    assert better.action == "registered"
    assert better.sentence == ("fashion: good is registered as version 2: accuracy 0.8900 against 0.6000 of version 1")
    assert (either.current(), either.versions()) == ("2", ["1", "2"])
    back = either("bad", range(40))
    assert back.sentence == "fashion: kept version 2: accuracy 0.8900 against 0.6000 of bad"
    assert either.current() == "2"


def test_a_better_version_that_is_not_current_becomes_so_again_without_a_copy(either):
    either("bad", range(40))
    either("good", range(11))
    either.promote("1")
    again = either("good", range(11))
    assert (again.action, again.version) == ("registered", "2")
    assert again.sentence == "fashion: version 2 is current now: accuracy 0.8900 against 0.6000 of version 1"
    assert (either.current(), either.versions()) == ("2", ["1", "2"])


def test_what_cannot_be_told_apart_takes_the_place_only_where_it_was_asked_for(either):
    either("first", range(20))
    tie = either("other", range(5, 24))
    assert (tie.action, tie.version) == ("kept", "1")
    assert tie.sentence == (
        "fashion: kept version 1: accuracy 0.8000 against 0.8100 of other, no clear difference; "
        "--promote registers other"
    )
    asked = either("other", range(5, 24), promote=True)
    assert asked.action == "registered"
    assert asked.sentence.endswith("accuracy 0.8100 against 0.8000 of version 1, no clear difference")
    assert either.current() == "2"
    worse = either("bad", range(60), promote=True)
    assert worse.action == "kept"
    assert either.current() == "2", "a worse one isn't registered, asked for or not"


def test_forecasters_are_compared_by_their_mae_in_blocks(results, tmp_path):
    run = Run(results, tmp_path, "lstm")
    run("first", wrong=[1.0])
    info = load_info(run.data)
    worse = run("worse", wrong=[1.5])
    assert worse.sentence.startswith("electricity: kept version 1: mae 0.")
    assert f" {info.unit} against " in worse.sentence
    assert run("better", wrong=[0.5]).action == "registered"


@pytest.mark.parametrize("model", ["mlp", "lstm"])
def test_a_saved_model_scores_as_it_was_evaluated(results, model):
    """The LSTM takes columns of the future, too."""
    data = results[f"dataset_{MODELS[model]['dataset']}"].path
    info = load_info(data)
    evaluated = errors(*load_predictions(results[f"evaluation_{model}"].path))
    scored = score(Path(results[f"export_{model}"].path) / SAVED_MODEL, data, info)
    assert scored.shape == evaluated.shape
    np.testing.assert_allclose(scored, evaluated, rtol=1e-4, atol=1e-6)


def test_a_large_test_split_is_scored_in_parts(results, monkeypatch):
    data = results["dataset_fashion"].path
    info = load_info(data)
    started = []
    monkeypatch.setattr("components.register.challenge.PART_BYTES", 1)
    monkeypatch.setattr("components.register.challenge.BATCH", 60)
    start = challenge.start
    monkeypatch.setattr(challenge, "start", lambda runtime: started.append(runtime) or start(runtime))
    scored = score(Path(results["export_mlp"].path) / SAVED_MODEL, data, info)
    assert len(started) == 2
    np.testing.assert_array_equal(scored, errors(*load_predictions(results["evaluation_mlp"].path)))


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    """Fashion-MNIST of twice the size: another test split."""
    folder = tmp_path_factory.mktemp("other") / "dataset"
    ingest("fashion", json.dumps({"source": "fashion_mnist", "use": 0.02}), str(folder))
    return folder


def predicted(folder, data, wrong):
    """An evaluation on a data set: these of its test examples are wrong."""
    _, labels = storage.load_images(data, load_info(data), "test")
    answers = np.eye(10)[labels]
    answers[wrong] = np.eye(10)[(labels[wrong] + 1) % 10]
    folder.mkdir()
    np.savez(folder / "predictions.npz", target=labels, prediction=answers)
    return folder


def test_on_other_test_data_the_standing_model_answers_first(run, other_data):
    """It was registered as one that is always right; on the new test split it is what it is."""
    run("real", range(0))
    info = load_info(other_data)
    accuracy = 1 - score(run.exported / SAVED_MODEL, str(other_data), info).mean()
    assert 0.3 < accuracy < 0.9
    worse = run("worse", data=other_data, evaluation=predicted(run.folder / "worse", other_data, np.arange(160)))
    assert worse.sentence == (
        f"fashion: kept version 1: accuracy {accuracy:.4f} against 0.2000 of worse "
        "(version 1 answered these test examples now)"
    )
    better = run("better", data=other_data, evaluation=predicted(run.folder / "better", other_data, np.arange(10)))
    assert better.sentence == (
        f"fashion: better is registered as version 2: accuracy 0.9500 against {accuracy:.4f} of version 1 "
        "(version 1 answered these test examples now)"
    )


def test_models_of_other_classes_or_windows_are_not_compared(run, tmp_path):
    run("first", range(20))
    other = shutil.copytree(run.data, tmp_path / "other")
    content = json.loads((other / "dataset.json").read_text())
    content["classes"][0] = "Shirt"
    (other / "dataset.json").write_text(json.dumps(content))
    kept = run("second", range(2), data=other)
    assert kept.action == "kept"
    assert "kept version 1: it can't be compared with second, its classes: [" in kept.sentence
    assert kept.sentence.endswith("; --promote registers second")
    assert run("second", range(2), data=other, promote=True).action == "registered"
    assert run.current() == "2"


def test_a_standing_model_that_cannot_answer_is_kept(run, other_data):
    run("first", range(20))
    # Signed as it is: a SavedModel that no TensorFlow can load.
    shutil.rmtree(run.shelf)
    export = run.export("broken")
    (export / SAVED_MODEL / "saved_model.pb").write_bytes(b"no model")
    content = json.loads((export / "export.json").read_text())
    content["blessing"]["saved_model_sha256"] = folder_digest(export / SAVED_MODEL)
    (export / "export.json").write_text(json.dumps(content))
    assert run("broken", range(20)).version == "1"
    kept = run("second", data=other_data, evaluation=predicted(run.folder / "second", other_data, np.arange(10)))
    assert kept.action == "kept"
    assert "it can't be compared with second, " in kept.sentence
    assert "\n" not in kept.sentence


def test_a_standing_model_that_gives_nan_on_other_data_gives_way(results, tmp_path, monkeypatch):
    run = Run(results, tmp_path, "lstm")
    run("first", [1.0])
    other = shutil.copytree(run.data, tmp_path / "other")
    content = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**content, "sha256": "0" * 64}))
    monkeypatch.setattr(challenge, "score", lambda model, data, info: np.full(info.examples("test"), np.nan))
    assert run("second", [1.5], data=other).action == "registered"


CHANGES = {
    "a file": lambda version: (version / "model.keras").write_bytes(b"x"),
    "a metric": lambda version: (version / "registration.json").write_text(
        (version / "registration.json").read_text().replace('"mlp"', '"cnn"')
    ),
    "the errors": lambda version: np.save(version / ERRORS, np.zeros(100)),
    "the registration is gone": lambda version: (version / "registration.json").unlink(),
    "the key": lambda version: (version.parents[2] / KEY).write_bytes(b"x" * 32),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_version_that_was_changed_by_hand_is_noticed(either, change):
    either("first", range(20))
    CHANGES[change](either.shelf / "1")
    found = either("first", range(20))
    check_registration(either.shelf / either.current(), either.registry)
    if change == "the registration is gone":
        assert found.sentence.startswith("fashion: first is registered as version 2: version 1 can't be used, ")
    else:
        assert found.sentence.startswith("fashion: first is version 1 already; its files are written anew: ")
        assert either.versions() == ["1"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_current_version_that_was_changed_gives_way_and_says_why(either, change):
    either("first", range(20))
    CHANGES[change](either.shelf / "1")
    found = either("second", range(60))
    assert found.action == "registered"
    assert "version 1 can't be used, " in found.sentence
    check_registration(either.shelf / either.current(), either.registry)


def test_a_registry_that_was_deleted_is_filled_again(either):
    either("first", range(20))
    shutil.rmtree(either.registry)
    assert either("first", range(20)).action == "registered"
    (either.shelf / "current").unlink()
    assert either("first", range(20)).sentence == "fashion: version 1 is current now: accuracy 0.8000"
    shutil.rmtree(either.shelf / "1")
    assert either("second", range(40)).version == "1", "the link leads nowhere"
    assert either.current() == "1"


def test_a_folder_in_the_place_of_the_link_is_one_line(run):
    run("first", range(20))
    (run.shelf / "current").unlink()
    (run.shelf / "current").mkdir()
    for _ in range(2):
        with pytest.raises(InputError, match=r"current: is no link to a version; move it away"):
            run("second", range(2))
    (run.shelf / "current").rmdir()
    assert run("second", range(2)).version == "2", "the same model is added once"


def test_what_a_killed_register_left_is_removed(run):
    run("first", range(20))
    (run.shelf / ".2.123.partial" / "saved_model").mkdir(parents=True)
    (run.shelf / ".current.123.partial").symlink_to("2")
    run("first", range(20))
    assert sorted(path.name for path in run.shelf.iterdir()) == ["1", "current"]


def test_the_registration_says_when_by_which_run_and_from_which_seed(run):
    run("first", range(20))
    found = check_registration(run.shelf / "1")
    assert (found.run, found.seed, found.metrics) == ("run-2", 7, {"accuracy": 0.8}), "not the cached board's run"
    assert found.time.endswith("+00:00")
    assert np.load(run.shelf / "1" / ERRORS).sum() == 20


@pytest.mark.parametrize(
    ("entry", "action", "said"),
    [
        ({"passed": False, "reasons": ["passes: x", "fails: error 20.00% is 1% above linear"]}, "refused",
         "fashion: first is not registered, its gate refuses it: error 20.00% is 1% above linear"),
        ({"passed": True, "gate": "none"}, "registered", "fashion: first is registered as version 1"),
        ({"passed": False, "rank": None}, "none", "fashion: nothing registered, no model finished"),
    ],
)  # fmt: skip
def test_what_is_refused_is_not_said_to_be_registered(run, entry, action, said):
    found = run("first", range(20), **entry)
    assert found.action == action
    assert found.sentence.startswith(said)
    assert run.shelf.exists() == (action == "registered")
    assert (found.path is None) == (action != "registered")
