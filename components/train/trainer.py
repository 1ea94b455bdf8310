"""The loop that trains a model, from any step on."""

import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo
from components.artifacts.model import best_epoch
from components.common.events import progress
from components.common.spec import ModelSpec
from components.train.boards import boards
from components.train.checkpoint import Checkpoints, State
from components.train.devices import Devices
from components.train.kept import Kept
from components.train.phases import Phases
from components.train.shared_batches import SharedBatches
from components.train.steps import RunningMetrics, compiled_steps
from components.train.termination import Termination

# A stretch of steps lasts about so long at most: signals and the clock are looked at between two.
STRETCH_SECONDS = 1.0
MAX_ROLLBACKS = 3


class NotFiniteError(Exception):
    """The loss or a weight isn't a finite number any more; the message says since which step."""


@dataclass
class Trainer:
    """Trains a model, going on from its last checkpoint where there is one.

    Several workers go through the same steps. The chief decides when to save and alone writes; all stop where one of
    them got a signal, and give up or go back where the loss of one isn't finite.

    Attributes:
        model: The model, built and compiled under the strategy, with a built optimizer.
        spec: How the model is trained.
        info: The description of its data set.
        batches: The batches of training and validation.
        devices: The devices that train together.
        checkpoints: The checkpoints, in a folder that all workers see.
        kept: The checkpoints that stay.
        boards: The folders for TensorBoard's logs, as paths or gs:// addresses.
        termination: The signals that ask for an end; its context is open.
        factor: The factor of the learning rate; None where nothing is rolled back.
        until: The step to end after; None to train to the end.
        state: The state of the training.
    """

    model: keras.Model
    spec: ModelSpec
    info: DatasetInfo
    batches: SharedBatches
    devices: Devices
    checkpoints: Checkpoints
    kept: Kept
    boards: list[str]
    termination: Termination
    factor: tf.Variable | None
    until: int | None = None
    state: State = field(default_factory=State, init=False)

    def __post_init__(self) -> None:
        self._per_epoch = self.batches.per_epoch
        self._end = self.until or self.spec.epochs * self._per_epoch
        self._validation = self.batches.validation()
        self._metrics = RunningMetrics(self.model, self.devices)
        # All that any phase trains: in a first phase some are frozen, and the optimizer has them nevertheless.
        self._trainable = self.model.trainable_variables
        self._phases = Phases(self.model, self.spec, self._per_epoch, self.devices.replicas, self.factor)
        self._test = compiled_steps(self.model.test_step, self.devices.strategy)
        # The number of steps of the next stretch.
        self._count = 1
        self._start = self._saved = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether there is nothing left to train: no step, or no patience."""
        without = len(self.state.history) - 1 - max(self.state.best_epoch, self._phases.frozen_epochs - 1)
        return self.state.done == self._end or without >= (self.spec.patience or self.spec.epochs)

    def train(self) -> list[np.ndarray]:
        """Train to the end.

        Returns:
            The weights of the best epoch.

        Raises:
            RuntimeError: The loss or a weight isn't finite, or a checkpoint can't be saved.
            SystemExit: A signal came and a checkpoint was saved.
        """
        folders = self.boards if self.devices.chief else []
        with boards(folders, self.model, histograms=self.spec.histograms) as self._log:
            self._restore()
            while not self.over:
                try:
                    self._run()
                except NotFiniteError as error:
                    self._roll_back(error)
        self.kept.finish(self.state.done, self.state.best_epoch)
        return [weight.numpy() for weight in self.checkpoints.best]

    def _run(self) -> None:
        batches = iter(self.batches.training(self.state.done))
        if self.factor is not None:
            self.factor.assign(0.5**self.state.rollbacks)
        self._start = time.monotonic() - self.state.seconds
        self._begin(batches)
        if self.state.metrics:
            self._metrics.restore(self.state.metrics)
        while not self.over:
            if self._at_end():
                self.model.reset_metrics()
                self._begin(batches)
            self._stretch(batches)
            if self._at_end():
                self.end_epoch()
            self.on_step()

    def _begin(self, batches: Iterator[object]) -> None:
        """Set up the phase of the next step."""
        with self.devices.strategy.scope():
            changed = self._phases.enter(self.state.done)
        if changed:
            self._train = compiled_steps(self.model.train_step, self.devices.strategy)
            # Traced before the first step: Keras lists the metrics' variables from then on.
            self._train.get_concrete_function(batches, tf.constant(0))

    def _stretch(self, batches: Iterator[object]) -> None:
        done = self.state.done
        pause = self.kept.pause(done, self.state.best_epoch) or self._end
        count = min(self._count, self._per_epoch - done % self._per_epoch, pause - done, self._end - done)
        start = time.perf_counter()
        # Waits for the steps' end.
        finite = int(self._train(batches, tf.constant(count)))
        speed = count / (time.perf_counter() - start)
        if (finite := int(min(self.devices.of_all_workers(float(finite))))) < count:
            raise NotFiniteError(f"the loss is NaN or infinite at {self._place(self.state.done + finite + 1)}")
        # Each worker's own until `on_step` takes the chief's. So a rollback, which comes before that, must not see it.
        self._count = max(1, int(speed * min(STRETCH_SECONDS, self.spec.checkpoint_seconds)))
        self.state.done += count

    def end_epoch(self) -> None:
        """Validate, keep the weights if they are the best so far, and say how it went."""
        state, model = self.state, self.model
        logs = self._results()
        if self.spec.ema is not None:
            # Keras' own `ema_overwrite_frequency` can't do it under MirroredStrategy (3.15.1).
            with self.devices.strategy.scope():
                model.optimizer.finalize_variable_values(self._trainable)
        model.reset_metrics()
        self._test(iter(self._validation), tf.constant(self.batches.validation_steps))
        logs |= {f"val_{name}": value for name, value in self._results().items()}
        seconds, epoch = time.monotonic() - self._start, len(state.history)
        state.history.append({**logs, "seconds": seconds})
        state.best_epoch = best_epoch(state.history, self.info.task)
        if state.best_epoch == epoch:
            for variable, weight in zip(self.checkpoints.best, model.get_weights(), strict=True):
                variable.assign(weight)
        self._log(epoch, state.done, logs)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        progress(f"epoch {epoch + 1}/{self.spec.epochs}  {shown}  {seconds:.1f} s")

    def on_step(self) -> None:
        """After each stretch of steps, look at the clock and at the signal: save, and end the process if asked to."""
        step = self.state.done, self.state.best_epoch
        self.kept.write_after(*step)
        keeps = self.kept.wants(*step)
        due = self._at_end() or keeps or time.monotonic() - self._saved >= self.spec.checkpoint_seconds
        answers = self.devices.of_all_workers([float(due), float(self.termination.asked), float(self._count)])
        self._count = int(answers[0][2])
        stop = int(max(answer[1] for answer in answers))
        if answers[0][0] or stop:
            self._save()
        if keeps:
            self.kept.take(*step, self.checkpoints)
        if self._at_end():
            self._start = time.monotonic()
        if stop:
            # Nobody leaves while the chief saves.
            self.devices.of_all_workers(0.0)
            said = f"stopped by {signal.Signals(stop).name} after {self._place(self.state.done)}"
            print(f"{said}; a new start goes on from there", flush=True)
            raise SystemExit(128 + stop)

    def _at_end(self) -> bool:
        return self.state.done % self._per_epoch == 0

    def _results(self) -> dict[str, float]:
        return {name: float(value) for name, value in sorted(self.model.get_metrics_result().items())}

    def _place(self, step: int) -> str:
        return f"step {(step - 1) % self._per_epoch + 1} of {self._per_epoch} in epoch {-(-step // self._per_epoch)}"

    def _save(self) -> None:
        if not self.checkpoints.finite():
            raise NotFiniteError(f"a weight is NaN or infinite after {self._place(self.state.done)}")
        self.state.metrics, self.state.seconds = None, 0.0
        if not self._at_end():
            self.state.metrics, self.state.seconds = self._metrics.values(), time.monotonic() - self._start
        self._write()

    def _write(self) -> None:
        if self.devices.chief:
            self.checkpoints.save(asdict(self.state))
        self._saved = time.monotonic()

    def _take_last(self) -> bool:
        """Take the chief's newest whole checkpoint, where there is one: another worker might see other files."""
        number = int(self.devices.of_all_workers(float(self.checkpoints.newest() if self.devices.chief else 0))[0])
        if number:
            self.state = State(**self.checkpoints.restore(number))
        return bool(number)

    def _restore(self) -> None:
        """Go on from the last checkpoint, where there is one."""
        if self._take_last():
            epoch, step = divmod(self.state.done, self._per_epoch)
            place = f"in epoch {epoch + 1}, step {step} of {self._per_epoch}" if step else f"after epoch {epoch}"
            print(f"going on from the checkpoint {place}", flush=True)
            # The training may have been killed while it kept this one.
            if self.kept.wants(self.state.done, self.state.best_epoch):
                self.kept.take(self.state.done, self.state.best_epoch, self.checkpoints)
        elif self.factor is not None:
            # Something to roll back to.
            self._save()

    def _roll_back(self, error: NotFiniteError) -> None:
        """Go back to the last checkpoint and halve the learning rate, as the model's `on_nan` says."""
        if self.factor is None or self.state.rollbacks == MAX_ROLLBACKS:
            after = f", after {MAX_ROLLBACKS} rollbacks" if self.factor is not None else ""
            raise RuntimeError(f"{error}{after}; the checkpoints from before are kept") from None
        rollbacks = self.state.rollbacks + 1
        print(f"{error}: rollback {rollbacks} of {MAX_ROLLBACKS}, half the learning rate", flush=True)
        if not self._take_last():
            raise RuntimeError(f"{error}; there is no checkpoint to go back to") from None
        self.state.rollbacks = rollbacks
        # Saved at once: a restart has to know that this one is used.
        self._write()
