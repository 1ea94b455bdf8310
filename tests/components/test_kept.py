"""`keep_checkpoints` leaves the weights as they are, and what is kept is the same after any interruption."""

from pathlib import Path

import numpy as np
import pytest
from small_files import small_files
from trainings import STEPS, assert_same, model_folder, terminated, train

from components.train import kept
from components.train.kept import AFTER, Kept, drawn, tail


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """An audit redoes 4 steps here, of epochs of 11 and 9."""
    monkeypatch.setattr(kept, "STEPS", 4)


def kept_of(folder):
    """The weights that were kept, by step: of its checkpoint, and those some steps later."""
    import tensorflow as tf

    found = {}
    for path in Path(model_folder(folder), "checkpoints").iterdir():
        (index,) = [*path.glob("*.index")] or [None]
        names = tf.train.list_variables(str(index.with_suffix(""))) if index else []
        values = {
            n: tf.train.load_variable(str(index.with_suffix("")), n)
            for n, _ in names
            if n.startswith(("values", "best"))
        }
        with np.load(path / AFTER, allow_pickle=False) as after:
            found[int(path.name)] = values, [after[name] for name in after.files]
    return found


def assert_same_kept(first, second):
    assert first.keys() == second.keys()
    for step in first:
        assert first[step][0].keys() == second[step][0].keys()
        for name, value in first[step][0].items():
            np.testing.assert_array_equal(value, second[step][0][name])
        for one, other in zip(first[step][1], second[step][1], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def calm(datasets, tmp_path_factory):
    """The folder of a training that kept three checkpoints."""
    folder = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "STEPS", 4)
        train("mlp", folder, datasets, keep_checkpoints=3)
    return folder


def test_the_weights_are_those_of_a_training_that_keeps_nothing(calm, undisturbed, datasets, tmp_path):
    from trainings import result

    assert_same(result(calm), undisturbed["mlp"])
    assert_same(train("lstm", tmp_path, datasets, keep_checkpoints=2), undisturbed["lstm"])
    # The moving average replaces the weights at an epoch's end, and the next steps go on from it.
    assert len(kept_of(tmp_path)) >= 3


def test_the_start_the_drawn_steps_and_the_last_steps_of_the_best_epoch_stay(calm, undisturbed):
    total, best = 3 * STEPS["mlp"], undisturbed["mlp"][1]
    found = kept_of(calm)
    some = {*(1 + np.random.default_rng([1, total]).permutation(total - 1)[:3]).tolist()}
    assert found.keys() == {0, *some, tail(best - 1, STEPS["mlp"])}
    assert not found[0][0], "the seed gives the start"
    assert all(values for step, (values, _) in found.items() if step)
    # Four steps after the last of them come the model's own weights.
    for weight, other in zip(found[best * STEPS["mlp"] - 4][1], undisturbed["mlp"][2], strict=True):
        np.testing.assert_array_equal(weight, other)
    assert not [*Path(model_folder(calm)).rglob("*.partial")]


def test_a_model_that_keeps_nothing_has_no_such_folder(undisturbed, datasets, tmp_path):
    train("mlp", tmp_path, datasets, epochs=1)
    assert not Path(model_folder(tmp_path), "checkpoints").exists()


def test_where_nothing_is_kept_no_step_is_counted():
    """The steps of a long training don't fit into the memory."""
    assert drawn(0, seed=1, total=10**15) == set()


@pytest.mark.parametrize("step", [13, 22])
def test_a_training_that_was_stopped_keeps_the_same(step, calm, datasets, tmp_path, monkeypatch):
    assert terminated(monkeypatch, step, "mlp", tmp_path, datasets, keep_checkpoints=3) == 143
    train("mlp", tmp_path, datasets, keep_checkpoints=3)
    assert_same_kept(kept_of(tmp_path), kept_of(calm))


def test_a_training_that_is_killed_while_it_keeps_a_checkpoint_keeps_it_whole(calm, datasets, tmp_path, monkeypatch):
    """At the first three once: half of the copy is there, and the process is gone."""
    take, torn = Kept.take, set()

    class KilledError(BaseException):
        pass

    def killed(self, done, best_epoch, checkpoints):
        take(self, done, best_epoch, checkpoints)
        if done not in torn and len(torn) < 3:
            torn.add(done)
            for path in Path(self._folder, str(done)).glob("*.data*"):
                path.write_bytes(path.read_bytes()[:1000])
            for path in Path(self._folder, str(done)).glob("*.sha256"):
                path.unlink()
            raise KilledError

    monkeypatch.setattr(Kept, "take", killed)
    for _ in range(3):
        with pytest.raises(KilledError):
            train("mlp", tmp_path, datasets, keep_checkpoints=3)
    train("mlp", tmp_path, datasets, keep_checkpoints=3)
    assert_same_kept(kept_of(tmp_path), kept_of(calm))


def test_with_patience_only_what_was_reached_stays(datasets, tmp_path):
    history, best, _ = train("mlp", tmp_path, datasets, epochs=30, patience=1, learning_rate=0.1, keep_checkpoints=20)
    end = len(history) * STEPS["mlp"]
    assert len(history) < 30
    found = kept_of(tmp_path)
    assert tail(best - 1, STEPS["mlp"]) in found
    assert max(found) < end


def test_a_disk_without_room_is_one_line(datasets, tmp_path, monkeypatch):
    original = Kept.write_after

    def limited(self, done, best_epoch):
        with small_files(1000):
            original(self, done, best_epoch)

    monkeypatch.setattr(Kept, "write_after", limited)
    with pytest.raises(RuntimeError, match=r"kept/\d+/after.npz: the weights can't be saved: ") as failed:
        train("mlp", tmp_path, datasets, keep_checkpoints=1)
    assert "\n" not in str(failed.value)
