"""A loss that is NaN stops a training, or sets it back."""

import re
from pathlib import Path

import numpy as np
import pytest
from trainings import MODELS, assert_same, model_folder, saved_states, train

DIVERGING = {
    "quantiles": [],
    "optimizer": "sgd",
    "schedule": "constant",
    "ema": None,
    "hyperparameters": {"units": 8, "patch": 12},
}


def test_a_loss_that_is_nan_stops_the_training_at_its_step(datasets, tmp_path, capsys):
    said = []
    for seconds in (0.0, 60.0):
        with pytest.raises(RuntimeError) as failed:
            train("lstm", tmp_path, datasets, **DIVERGING, learning_rate=8.0, checkpoint_seconds=seconds)
        said.append(str(failed.value))
    # One step at a call, from the first on; then many, from the last good checkpoint on.
    assert said[0] == said[1]
    match = re.fullmatch(
        r"the loss is NaN or infinite at step (\d+) of 9 in epoch (\d+); the checkpoints from before are kept", said[0]
    )
    assert match, said[0]
    done = (int(match[2]) - 1) * 9 + int(match[1]) - 1
    assert "going on from the checkpoint" in capsys.readouterr().out
    assert saved_states(tmp_path)[-1]["done"] in (done, done - 1)
    assert not Path(model_folder(tmp_path)).exists()


def test_on_nan_it_goes_back_three_times_and_remembers_it(datasets, tmp_path, capsys):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after 3 rollbacks; the checkpoints from before are kept"):
            train("lstm", tmp_path, datasets, **DIVERGING, learning_rate=1000.0, on_nan="rollback")
        said = capsys.readouterr().out
    # The second start found all three used.
    assert "rollback 1 of 3" not in said
    assert saved_states(tmp_path)[-1]["rollbacks"] == 3


def test_with_half_the_rate_it_ends(datasets, tmp_path, capsys):
    with pytest.raises(RuntimeError, match="the loss is NaN"):
        train("lstm", tmp_path / "fail", datasets, **DIVERGING, learning_rate=2.0)
    history, _, weights = train("lstm", tmp_path, datasets, **DIVERGING, learning_rate=2.0, on_nan="rollback")
    assert "rollback 1 of 3, half the learning rate" in capsys.readouterr().out
    assert len(history) == 3
    assert all(np.isfinite(weight).all() for weight in weights)


def test_the_choice_to_roll_back_changes_no_weight(datasets, undisturbed, tmp_path):
    for name in MODELS:
        assert_same(train(name, tmp_path / name, datasets, on_nan="rollback"), undisturbed[name])
