"""A training that goes on exactly where it was, in mid-epoch too."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from components.common.spec import ModelSpec
from components.train.checkpoint import Checkpoints
from components.train.devices import Devices
from components.train.progress import Progress
from components.train.steps import RunningMetrics, make_advance
from components.train.termination import Termination

# A call of the compiled steps lasts about so long at most: signals and the clock are looked at between two.
# As often workers ask each other.
CALL_SECONDS = 1.0
MAX_ROLLBACKS = 3
_STOPPING = ("wait", "best", "best_epoch", "stopped_epoch")


class NotFiniteError(Exception):
    """The loss or a weight isn't a finite number any more; the message says since which step."""


class Resumable(keras.callbacks.Callback):
    """Takes `fit` through its steps from any of them on, and saves all that determines what comes next.

    That is, beside the variables in `Checkpoints`: the steps done, the metrics of the epoch so far, the state of
    early stopping, the history and the number of rollbacks. The order of examples depends on the step alone.

    `fit` begins with whole epochs: of the first one, the calls whose steps were done before the restart do nothing.
    Of several workers the chief decides when to save and alone writes; all stop where one of them got a signal.
    It has to stand after the two callbacks whose state it keeps.

    Args:
        model: Built and compiled, with a built optimizer.
        spec: How it is trained.
        per_epoch: Steps of an epoch.
        devices: That it is trained on.
        folder: Of the checkpoints, the same for all workers: a path or a gs:// address.
        stopping: Whose state is kept.
        progress: Whose history is kept.
        termination: Entered.
        factor: Of the learning rate; None where nothing is rolled back.
        check: See `Checkpoints`.

    Attributes:
        done: Steps done, counted over all epochs.
        over: Whether there is nothing left to train.
    """

    def __init__(
        self,
        model: keras.Model,
        spec: ModelSpec,
        per_epoch: int,
        devices: Devices,
        folder: str,
        stopping: keras.callbacks.EarlyStopping,
        progress: Progress,
        termination: Termination,
        factor: tf.Variable | None,
        check: Callable[[], None],
    ) -> None:
        super().__init__()
        self._spec = spec
        self._per_epoch = per_epoch
        self._devices = devices
        self._stopping = stopping
        self._progress = progress
        self._termination = termination
        self._factor = factor
        self._checkpoints = Checkpoints(folder, model, check)
        self._metrics = RunningMetrics(model, devices)
        self._advance = make_advance(model, devices)
        self._execution = model.steps_per_execution
        self._call_seconds = min(CALL_SECONDS, spec.checkpoint_seconds)
        model.train_function = self._train
        stopping.on_train_begin()
        # fit() starts its callbacks anew, which would make this one forget what came before.
        stopping.on_train_begin = lambda logs=None: None
        self.done = 0
        self.over = False
        self._rollbacks = 0
        self._speed = 0.0
        self._ask_at = 0
        self._not_finite = 0
        self._saved = time.monotonic()
        self._running_metrics: list[list[float]] | None = None

    @property
    def epoch(self) -> int:
        """The epoch to go on with, counted from 0."""
        return len(self._progress.history)

    def restore(self) -> None:
        """Bring everything back to the last whole checkpoint, where there is one."""
        if not (number := self._newest()):
            if self._factor is not None:
                # Something to roll back to.
                self._save(None)
            return
        self._set(self._checkpoints.restore(number))
        epoch, step = divmod(self.done, self._per_epoch)
        place = f"in epoch {epoch + 1}, step {step} of {self._per_epoch}" if step else f"after epoch {epoch}"
        print(f"going on from the checkpoint {place}", flush=True)

    def roll_back(self, error: NotFiniteError) -> None:
        """Go back to the last checkpoint and halve the learning rate, as the model's `on_nan` says.

        Args:
            error: What happened.

        Raises:
            RuntimeError: It isn't wanted, or was done three times.
        """
        if self._factor is None:
            raise RuntimeError(f"{error}; the checkpoints from before are kept") from None
        if self._rollbacks == MAX_ROLLBACKS:
            after = f"after {MAX_ROLLBACKS} rollbacks"
            raise RuntimeError(f"{error}, {after}; the checkpoints from before are kept") from None
        rollbacks = self._rollbacks + 1
        print(f"{error}: rollback {rollbacks} of {MAX_ROLLBACKS}, half the learning rate", flush=True)
        if not (number := self._newest()):
            raise RuntimeError(f"{error}; there is no checkpoint to go back to") from None
        state = self._checkpoints.restore(number)
        state["rollbacks"] = rollbacks
        self._set(state)
        # Saved at once: a restart has to know that this one is used.
        self._write(state)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Count this epoch's calls from its beginning."""
        self._called = epoch * self._per_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save a checkpoint, and end the process where a signal asked for it."""
        stop = max(self._devices.of_all_workers(float(self._termination.asked)))
        self._save(None)
        self._end(stop)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Nothing is left."""
        self.over = True

    def _train(self, iterator: Iterator[Any]) -> dict[str, Any]:
        """The steps of one call of `fit`'s that aren't done yet."""
        self._called += self._execution
        logs: dict[str, Any] = {}
        while self.done < self._called:
            if self._running_metrics is not None:
                self._metrics.restore(self._running_metrics)
                self._running_metrics = None
            count = min(max(1, int(self._speed * self._call_seconds)), self._called - self.done)
            start = time.perf_counter()
            count, logs = self._advance(iterator, count)
            # Waits for the steps' end.
            loss = float(logs["loss"])
            self._speed = count / (time.perf_counter() - start)
            self.done += count
            if not math.isfinite(loss):
                self._not_finite = self._not_finite or self.done
            self._look()
        return logs

    def _look(self) -> None:
        """Save, stop or give up, if it is time for it; all workers together."""
        end = self.done % self._per_epoch == 0
        if self._devices.workers > 1 and self.done < self._ask_at and not end:
            return
        due = time.monotonic() - self._saved >= self._spec.checkpoint_seconds
        pause = max(1, int(self._speed * self._call_seconds))
        answers = self._devices.of_all_workers(
            [float(due), float(self._termination.asked), float(self._not_finite), float(pause)]
        )
        self._ask_at = self.done + int(answers[0][3])
        if bad := [int(answer[2]) for answer in answers if answer[2]]:
            raise NotFiniteError(f"the loss is NaN or infinite at {self._place(min(bad))}")
        # At an epoch's end the validation comes first.
        stop = max(answer[1] for answer in answers)
        if (answers[0][0] or stop) and not end:
            self._save(self._metrics.values())
            self._end(stop)

    def _newest(self) -> int:
        """The chief's newest whole checkpoint: another worker might see other files."""
        return int(self._devices.of_all_workers(self._checkpoints.newest() if self._devices.chief else 0)[0])

    def _place(self, step: int) -> str:
        epoch, before = divmod(step - 1, self._per_epoch)
        return f"step {before + 1} of {self._per_epoch} in epoch {epoch + 1}"

    def _save(self, metrics: list[list[float]] | None) -> None:
        if not self._checkpoints.finite():
            raise NotFiniteError(f"a weight is NaN or infinite after {self._place(self.done)}")
        stopping = {name: getattr(self._stopping, name) for name in _STOPPING}
        if stopping["best"] is not None:
            stopping["best"] = float(stopping["best"])
        self._write(
            {
                "done": self.done,
                "metrics": metrics,
                "seconds": self._progress.seconds() if metrics else 0.0,
                "history": self._progress.history,
                "stopping": stopping,
                "rollbacks": self._rollbacks,
            }
        )

    def _write(self, state: dict[str, Any]) -> None:
        if self._devices.chief:
            self._checkpoints.save(state, self._stopping.best_weights)
        self._saved = time.monotonic()

    def _set(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        self._running_metrics = state["metrics"]
        self._progress.history = state["history"]
        self._progress.earlier = state["seconds"]
        self._rollbacks = state["rollbacks"]
        if self._factor is not None:
            self._factor.assign(0.5**self._rollbacks)
        vars(self._stopping).update(state["stopping"])
        self._stopping.best_weights = self._checkpoints.best_weights() if self._progress.history else None
        self._not_finite = 0
        self._ask_at = 0
        patience = self._stopping.patience
        self.over = self.epoch == self._spec.epochs or bool(self.epoch and self._stopping.wait >= patience)

    def _end(self, stop: float) -> None:
        """End the process where a signal, of this number, came to a worker."""
        if stop:
            # Nobody leaves while the chief saves.
            self._devices.of_all_workers(0.0)
            name = signal.Signals(int(stop)).name
            print(f"stopped by {name} after {self._place(self.done)}; a new start goes on from there", flush=True)
            raise SystemExit(128 + int(stop))
