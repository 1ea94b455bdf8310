"""Checkpoints that are whole or absent, of which the last two are kept."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.common.files import make_folder, sync

KEPT = 2
# What TensorFlow puts around an error's reason.
_OPERATION = re.compile(r"\{\{.*?\}\}|\[Op:.*")
_NUMBER = re.compile(r"checkpoint-(\d+)")


@dataclass
class State:
    """All that a training goes on from, beside the variables.

    Attributes:
        done: The steps done, counted over all epochs.
        metrics: For each replica, the sums in its metrics' variables; None at an epoch's end.
        seconds: How long the current epoch has taken so far.
        history: The metrics of each finished epoch, and its "seconds".
        best_epoch: The epoch with the best validation result, counted from 0.
        rollbacks: How often the training went back.
    """

    done: int = 0
    metrics: list[list[float]] | None = None
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    rollbacks: int = 0


class Checkpoints:
    """The checkpoints of one training in one folder: `checkpoint-<number>` with three endings, numbered from 1.

    TensorFlow writes the variables, into `.index` and `.data…`. A third file, `.sha256`, comes last, by a rename. A
    checkpoint counts only if this file is there and holds the digest of the other two. On a disk, all three are synced
    before the rename, and the folder after it. TensorFlow alone wouldn't do: it finds a damaged file only while it
    reads it, when some variables have new values already, and its CheckpointManager keeps its list in a text file that
    a crash can cut. Orbax brings JAX, and took 0.13 to 0.2 s (0.12.8) for what this writes in 0.04 s: a million
    parameters, Adam's slots and the best weights.

    The values of all variables are tracked one by one, since tf.train.Checkpoint(model=…) leaves out the state of
    Keras 3's seed generators, so that dropout would differ after a restart.

    Args:
        folder: A path or a gs:// address.
        model: Built and compiled, with a built optimizer.
        check: Raises an error where this process may not write any more.

    Attributes:
        best: The weights of the best epoch so far, which a checkpoint holds beside the current ones.
    """

    def __init__(self, folder: str, model: keras.Model, check: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._check = check
        # gs:// keeps what was written.
        self._synced = "://" not in folder
        self._variables = [v.value for v in model.variables + model.optimizer.variables]
        self.best = [tf.Variable(weight) for weight in model.get_weights()]
        self._state = tf.Variable("", dtype=tf.string)
        self._checkpoint = tf.train.Checkpoint(values=self._variables, best=self.best, state=self._state)
        self._kept: list[int] = []
        self._last = 0

    def newest(self) -> int:
        """The number of the newest whole checkpoint; 0 where there is none. What newer ones lack is printed."""
        found = sorted(self._files(), reverse=True)
        self._last = max(found, default=0)
        if not self._synced:
            # Another process may have been stopped in the middle of a write, and may go on with it later. It doesn't
            # have numbers that start from this time.
            self._last = max(self._last, time.time_ns() // 1_000_000)
        elif self._last > 1 and len(found) < KEPT:
            print(f"checkpoint: of the last {KEPT}, only {self._last} is there", flush=True)
        for number in found:
            if not (problem := self._problem(number)):
                self._kept = [number]
                return number
            print(f"checkpoint {number} is {problem}, trying the one before", flush=True)
        if found:
            print("no whole checkpoint is left: training starts anew", flush=True)
        if self._synced:
            self._last = 0
        self._kept = []
        return 0

    def restore(self, number: int) -> dict[str, Any]:
        """Bring the variables back.

        Args:
            number: What `newest` gave, here or in the chief.

        Returns:
            The state that was saved with them.
        """
        # A value that isn't in the checkpoint, or has no place, is an error of ours.
        self._checkpoint.read(self._prefix(number)).assert_consumed()
        return json.loads(self._state.numpy())

    def finite(self) -> bool:
        """Whether no variable holds a NaN or an infinity."""
        floats = [value for value in self._variables if value.dtype.is_floating]
        return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in floats)

    def save(self, state: dict[str, object]) -> None:
        """Save a checkpoint and remove those that are not kept any more.

        Args:
            state: Anything JSON can hold.

        Raises:
            RuntimeError: It can't be written, as on a full disk, or may not; the ones before are whole.
        """
        self._state.assign(json.dumps(state))
        number = self._last + 1
        self._check()
        try:
            if self._synced:
                make_folder(Path(self._folder))
            self._checkpoint.write(self._prefix(number))
            aside = f"{self._prefix(number)}.partial"
            with tf.io.gfile.GFile(aside, "w") as file:
                file.write(self._digest(number))
            if self._synced:
                sync(*(Path(self._folder, name) for name in self._files()[number]))
            self._check()
            tf.io.gfile.rename(aside, f"{self._prefix(number)}.sha256", overwrite=True)
            if self._synced:
                sync(Path(self._folder))
        except (tf.errors.OpError, OSError) as error:
            self._remove(number)
            raise RuntimeError(
                f"checkpoint {number} can't be saved, the one before is whole: {self._folder}: {reason(error)}"
            ) from None
        self._last = number
        self._kept = [*self._kept, number][-KEPT:]
        others = self._files().keys() - set(self._kept)
        self._check()
        for old in others:
            self._remove(old)

    def copy_last(self, folder: str) -> None:
        """Copy the last checkpoint's files into another folder, in place of what is there.

        Raises:
            RuntimeError: They can't be written, as on a full disk.
        """
        try:
            if tf.io.gfile.exists(folder):
                tf.io.gfile.rmtree(folder)
            tf.io.gfile.makedirs(folder)
            names = self._files()[self._kept[-1]]
            for name in names:
                tf.io.gfile.copy(f"{self._folder}/{name}", f"{folder}/{name}")
            if self._synced:
                sync(*(Path(folder, name) for name in names), Path(folder), Path(folder).parent)
        except (tf.errors.OpError, OSError) as error:
            raise RuntimeError(f"{folder}: the checkpoint can't be kept: {reason(error)}") from None

    def _prefix(self, number: int) -> str:
        return f"{self._folder}/checkpoint-{number}"

    def _files(self) -> dict[int, list[str]]:
        """The names of all that belongs to a checkpoint, whole or not, by number."""
        files: dict[int, list[str]] = {}
        if tf.io.gfile.exists(self._folder):
            for name in sorted(tf.io.gfile.listdir(self._folder)):
                if match := _NUMBER.match(name):
                    files.setdefault(int(match[1]), []).append(name.rstrip("/"))
        return files

    def _problem(self, number: int) -> str:
        """What is wrong with a checkpoint; "" where it is whole."""
        mark = f"{self._prefix(number)}.sha256"
        try:
            if not tf.io.gfile.exists(mark):
                return "incomplete"
            with tf.io.gfile.GFile(mark, "rb") as file:
                return "" if file.read() == self._digest(number).encode() else "damaged"
        except (tf.errors.OpError, OSError) as error:
            return f"unreadable ({str(error).splitlines()[0]})"

    def _digest(self, number: int) -> str:
        """The SHA-256 of the names, sizes and bytes of TensorFlow's files."""
        digest = hashlib.sha256()
        for name in self._files().get(number, []):
            if name.endswith((".sha256", ".partial", "_temp")):
                continue
            path = f"{self._folder}/{name}"
            digest.update(f"{name}\0{tf.io.gfile.stat(path).length}\0".encode())
            with tf.io.gfile.GFile(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    def _remove(self, number: int) -> None:
        for name in self._files().get(number, []):
            path = f"{self._folder}/{name}"
            if tf.io.gfile.isdir(path):
                tf.io.gfile.rmtree(path)
            else:
                tf.io.gfile.remove(path)


def reason(error: Exception) -> str:
    """The reason of an error of TensorFlow's or of the system's, in one line."""
    return _OPERATION.sub("", str(getattr(error, "message", error)).splitlines()[0]).strip()
