"""Checkpoints at epoch ends that hold all that determines what comes next."""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.train.progress import Progress


class Checkpoints(keras.callbacks.Callback):
    """Saves after each epoch; the last two checkpoints are kept.

    It has to stand after the two callbacks whose state it keeps. TensorFlow's checkpoints are written beside
    the old one and switched by a rename, and carry a CRC for each tensor. The values of all variables are
    tracked one by one, since tf.train.Checkpoint(model=…) leaves out the state of Keras 3's seed generators,
    so that dropout would differ after a restart.

    Several workers save at the same time, as TensorFlow wants it, each into a folder of its own; all of them go
    on from the chief's.

    Args:
        folder: The chief's, a path or a gs:// address.
        stopping: Whose state is kept.
        progress: Whose history is kept.
        own: This worker's folder.
    """

    def __init__(self, folder: str, stopping: keras.callbacks.EarlyStopping, progress: Progress, own: str) -> None:
        super().__init__()
        self._folder = folder
        self._own = own
        self._stopping = stopping
        self._progress = progress
        self._state = tf.Variable("", dtype=tf.string)

    def restore(self, model: keras.Model) -> int:
        """Bring the model and the callbacks back to the last whole checkpoint.

        Args:
            model: Built and compiled, with a built optimizer.

        Returns:
            The epoch to go on with: 0 where there is no checkpoint.
        """
        variables = model.variables + model.optimizer.variables
        self._best = [tf.Variable(w) for w in model.get_weights()]
        checkpoint = tf.train.Checkpoint(values=[v.value for v in variables], best=self._best, state=self._state)
        self._manager = tf.train.CheckpointManager(checkpoint, self._own, max_to_keep=2)
        for path in reversed(tf.train.CheckpointManager(checkpoint, self._folder, max_to_keep=2).checkpoints):
            try:
                checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
                print(f"checkpoint {Path(path).name} is damaged, trying the one before: {error}", flush=True)
                continue
            state = json.loads(self._state.numpy())
            self._progress.history = state["history"]
            self._stopping.on_train_begin()
            vars(self._stopping).update(state["stopping"])
            self._stopping.best_weights = [np.array(w) for w in self._best]
            # fit() starts its callbacks anew, which would make this one forget what came before.
            self._stopping.on_train_begin = lambda logs=None: None
            epoch = len(self._progress.history)
            print(f"going on from the checkpoint after epoch {epoch}", flush=True)
            return epoch
        return 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save a checkpoint."""
        if self._stopping.best_weights is not None:
            for variable, weight in zip(self._best, self._stopping.best_weights, strict=True):
                variable.assign(weight)
        stopping = {name: getattr(self._stopping, name) for name in ("wait", "best", "best_epoch", "stopped_epoch")}
        stopping["best"] = float(stopping["best"])
        self._state.assign(json.dumps({"history": self._progress.history, "stopping": stopping}))
        self._manager.save()
