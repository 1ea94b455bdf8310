"""Redo some steps of a training, from a checkpoint that it kept, with the same `Trainer`."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from pydantic import TypeAdapter, ValidationError

from components.artifacts.dataset import load_info
from components.artifacts.model import ModelInfo, best_epoch
from components.train.checkpoint import Checkpoints, State
from components.train.devices import find_devices
from components.train.kept import STEPS, Kept
from components.train.shared_batches import SharedBatches
from components.train.termination import Termination
from components.train.train import build_compiled
from components.train.trainer import Trainer

# `Trainer` takes the number of a checkpoint through a float.
_MOST = 2**53
_STATE = TypeAdapter(State)


@dataclass(frozen=True)
class Redone:
    """Some steps that were redone.

    Attributes:
        until: The last of them.
        start: The model's weights before the first of them.
        weights: The model's weights after the last one.
        best: The weights of the best epoch until then.
        best_epoch: The best epoch until then, counted from 0.
        history: The metrics of each epoch that is over, as `metrics_of` gives them.
    """

    until: int
    start: list[np.ndarray]
    weights: list[np.ndarray]
    best: list[np.ndarray]
    best_epoch: int
    history: list[dict[str, float]]


def redo(model: ModelInfo, seed: int, dataset: str, kept: Path, step: int, scratch: Path) -> Redone:
    """Train as many steps as an audit redoes, or to the end of the training where that is nearer.

    Args:
        model: The description of the model that was trained.
        seed: The seed of its training.
        dataset: The data set's folder.
        kept: The folder that `components.train.kept` describes.
        step: The step to begin after; 0 begins with weights by the seed.
        scratch: An empty folder.

    Raises:
        ValueError: The checkpoint is damaged, or is one of another step, model or history, or the training ends before
            the history does.
        RuntimeError: The loss or a weight isn't finite.
    """
    info, spec, devices = load_info(dataset), model.spec, find_devices()
    batches = SharedBatches(model.name, spec, dataset, info, seed, devices)
    compiled, factor = build_compiled(spec, info, seed, "float32", batches, devices)
    for path in (kept / str(step)).glob("checkpoint-*") if step else ():
        shutil.copyfile(path, scratch / path.name)
    checkpoints = Checkpoints(str(scratch), compiled)
    if step:
        _check(_restore(checkpoints, compiled, step), model, step, batches.per_epoch, info.task)
    start = compiled.get_weights()
    until = min(step + STEPS, len(model.history) * batches.per_epoch)
    nothing = Kept("", compiled, 0, seed, spec.epochs, batches.per_epoch)
    with Termination() as termination:
        trainer = Trainer(compiled, spec, info, batches, devices, checkpoints, nothing, [], termination, factor, until)
        best = trainer.train()
    state = trainer.state
    if state.done != until:
        raise ValueError(f"trained again it ends at step {state.done}, expected {until}")
    return Redone(until, start, compiled.get_weights(), best, state.best_epoch, metrics_of(state.history))


def metrics_of(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """A history without the epochs' "seconds", which are others each time."""
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


def _restore(checkpoints: Checkpoints, model: keras.Model, step: int) -> State:
    number = checkpoints.newest()
    if not 0 < number < _MOST:
        raise ValueError("its checkpoint is damaged")
    # A checkpoint has a constant learning rate, too, which would take the place of the config's.
    rates = [rate for rate in model.optimizer.variables if rate.name == "learning_rate"]
    expected = [float(rate.numpy()) for rate in rates]
    try:
        state = _STATE.validate_json(json.dumps(checkpoints.restore(number)), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["its checkpoint's state", *map(str, first["loc"])])
        raise ValueError(f"{where[:80]}: {first['msg']}") from None
    except Exception as error:  # TensorFlow raises almost any exception where a checkpoint is another model's
        raise ValueError(f"its checkpoint can't be restored: {str(error).splitlines()[0][:200]}") from None
    if (state.done, int(model.optimizer.iterations.numpy())) != (step, step):
        raise ValueError(f"its checkpoint is of step {state.done}")
    if (found := [float(rate.numpy()) for rate in rates]) != expected:
        raise ValueError(f"its checkpoint has learning rate {found[0]}, expected {expected[0]}")
    return state


def _check(state: State, model: ModelInfo, step: int, per_epoch: int, task: str) -> None:
    """Check what a training goes on from beside the variables: with a wrong best epoch it would end at once."""
    history = model.history[: step // per_epoch]
    if metrics_of(state.history) != metrics_of(history):
        raise ValueError("its checkpoint has other metrics of epochs than the model's history has")
    if state.best_epoch != (best := best_epoch(history, task)):
        raise ValueError(f"its checkpoint has best epoch {state.best_epoch + 1}, by the history it is {best + 1}")
    if state.rollbacks:
        raise ValueError(f"its checkpoint has {state.rollbacks} rollbacks, expected none")
    rows = state.metrics or []
    if [len(row) > 0 and bool(np.isfinite(row).all()) for row in rows] != [True] * bool(step % per_epoch):
        raise ValueError("its checkpoint has sums of metrics that aren't those of one replica within an epoch")
