"""The checkpoints of a training that stay (`keep_checkpoints`), so that an audit can redo the steps after each of them.

<folder>/<step>/checkpoint-<number>.…    the checkpoint after so many steps; none for step 0, which the seed gives
<folder>/<step>/after.npz                the model's weights `STEPS` steps later, or at the training's end
"""

import io
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.common.files import sync
from components.train.checkpoint import Checkpoints, reason

# An audit redoes so many steps.
STEPS = 200
AFTER = "after.npz"


class Kept:
    """What stays of a training: step 0, some steps drawn by the seed, and a step from which `STEPS` lead to the model.

    Args:
        folder: The folder for it, a path or a gs:// address.
        model: The model that is trained.
        number: The number of steps that are drawn; 0 keeps nothing at all.
        seed: The experiment's seed.
        epochs: The most epochs of the training. Steps that it doesn't reach aren't kept.
        per_epoch: The steps of an epoch.

    Raises:
        RuntimeError: Something can't be written, as on a full disk.
    """

    def __init__(self, folder: str, model: keras.Model, number: int, seed: int, epochs: int, per_epoch: int) -> None:
        self._folder = folder
        self._model = model
        self._per_epoch = per_epoch
        self._drawn = drawn(number, seed, epochs * per_epoch)

    def pause(self, done: int, best_epoch: int) -> int | None:
        """The next step at which there is something to keep; None where there is none."""
        steps = self._steps(done, best_epoch)
        return min((step for step in steps | {step + STEPS for step in steps} if step > done), default=None)

    def wants(self, done: int, best_epoch: int) -> bool:
        """Whether the checkpoint after so many steps stays."""
        return done > 0 and done in self._steps(done, best_epoch)

    def take(self, done: int, best_epoch: int, checkpoints: Checkpoints) -> None:
        """Copy the last checkpoint, which is that of this step, and remove those that don't stay any more."""
        checkpoints.copy_last(f"{self._folder}/{done}")
        self._remove_others(self._steps(done, best_epoch))

    def write_after(self, done: int, best_epoch: int) -> None:
        """Write the model's weights, where this step is the last one that an audit would redo."""
        self._write(step for step in self._steps(done, best_epoch) if step + STEPS == done)

    def finish(self, done: int, best_epoch: int) -> None:
        """Write the model's weights at the training's end, for the steps that are less than `STEPS` before it."""
        if self._drawn:
            steps = staying(self._drawn, done, best_epoch, self._per_epoch)
            self._write(step for step in steps if step + STEPS > done)
            self._remove_others(steps)

    def _steps(self, done: int, best_epoch: int) -> set[int]:
        """The steps whose checkpoints stay, as far as is known after so many steps."""
        if not self._drawn:
            return set()
        return self._drawn | {tail(epoch, self._per_epoch) for epoch in (done // self._per_epoch, best_epoch)}

    def _write(self, steps: Iterable[int]) -> None:
        for step in steps:
            content = io.BytesIO()
            np.savez(content, *self._model.get_weights())
            path = f"{self._folder}/{step}/{AFTER}"
            try:
                tf.io.gfile.makedirs(f"{self._folder}/{step}")
                with tf.io.gfile.GFile(f"{path}.partial", "wb") as file:
                    file.write(content.getvalue())
                if "://" not in path:
                    sync(Path(f"{path}.partial"))
                tf.io.gfile.rename(f"{path}.partial", path, overwrite=True)
            except (tf.errors.OpError, OSError) as error:
                raise RuntimeError(f"{path}: the weights can't be saved: {reason(error)}") from None

    def _remove_others(self, steps: set[int]) -> None:
        for name in tf.io.gfile.listdir(self._folder):
            if int(name.rstrip("/")) not in steps:
                tf.io.gfile.rmtree(f"{self._folder}/{name}")


def drawn(number: int, seed: int, total: int) -> set[int]:
    """Step 0, and the steps that the seed draws of all steps; none where nothing is kept."""
    if not number:
        return set()
    steps = 1 + np.random.default_rng([seed, total]).permutation(total - 1)[:number]
    return {0, *steps.tolist()}


def staying(drawn: set[int], end: int, best_epoch: int, per_epoch: int) -> set[int]:
    """The steps whose checkpoints stay of a training that ended after so many steps; epochs count from 0."""
    return {step for step in (*drawn, tail(best_epoch, per_epoch)) if step < end}


def tail(epoch: int, per_epoch: int) -> int:
    """A step from which `STEPS` steps lead to the end of an epoch, or beyond where an epoch has fewer.

    Args:
        epoch: The epoch, from 0.
        per_epoch: The steps of an epoch.
    """
    return max(epoch * per_epoch, (epoch + 1) * per_epoch - STEPS)
