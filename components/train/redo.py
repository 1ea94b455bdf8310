"""Redo some steps of a training, from a checkpoint that it kept, with the same `Trainer`."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from components.artifacts.dataset import load_info
from components.artifacts.model import ModelInfo
from components.train.checkpoint import Checkpoints
from components.train.devices import find_devices
from components.train.kept import STEPS, Kept
from components.train.shared_batches import SharedBatches
from components.train.termination import Termination
from components.train.train import build_compiled
from components.train.trainer import Trainer


@dataclass(frozen=True)
class Redone:
    """Some steps that were redone.

    Attributes:
        until: The last of them.
        start: The model's weights before the first of them.
        weights: The model's weights after the last one.
        best: The weights of the best epoch until then.
        before: The epochs that were over before the first of them.
        history: The metrics and the "seconds" of each epoch that is over.
    """

    until: int
    start: list[np.ndarray]
    weights: list[np.ndarray]
    best: list[np.ndarray]
    before: int
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
        ValueError: The checkpoint is damaged, or is one of another step or model.
        RuntimeError: The loss or a weight isn't finite.
    """
    info, spec, devices = load_info(dataset), model.spec, find_devices()
    batches = SharedBatches(model.name, spec, dataset, info, seed, devices)
    compiled, factor = build_compiled(spec, info, seed, "float32", batches, devices)
    for path in (kept / str(step)).glob("checkpoint-*") if step else ():
        shutil.copyfile(path, scratch / path.name)
    checkpoints = Checkpoints(str(scratch), compiled)
    if step:
        _restore(checkpoints, compiled, step)
    start = compiled.get_weights()
    until = min(step + STEPS, len(model.history) * batches.per_epoch)
    nothing = Kept("", compiled, 0, seed, spec.epochs, batches.per_epoch)
    with Termination() as termination:
        trainer = Trainer(compiled, spec, info, batches, devices, checkpoints, nothing, [], termination, factor, until)
        best = trainer.train()
    before = step // batches.per_epoch
    return Redone(until, start, compiled.get_weights(), best, before, trainer.state.history)


def _restore(checkpoints: Checkpoints, model: keras.Model, step: int) -> None:
    number = checkpoints.newest()
    if not number:
        raise ValueError("its checkpoint is damaged")
    # A checkpoint has a constant learning rate, too, which would take the place of the config's.
    rates = [rate for rate in model.optimizer.variables if rate.name == "learning_rate"]
    expected = [float(rate.numpy()) for rate in rates]
    try:
        done = checkpoints.restore(number)["done"]
    except Exception as error:  # TensorFlow raises almost any exception where a checkpoint is another model's
        raise ValueError(f"its checkpoint can't be restored: {str(error).splitlines()[0][:200]}") from None
    if (done, int(model.optimizer.iterations.numpy())) != (step, step):
        raise ValueError(f"its checkpoint is of step {done}")
    if (found := [float(rate.numpy()) for rate in rates]) != expected:
        raise ValueError(f"its checkpoint has learning rate {found[0]}, expected {expected[0]}")
