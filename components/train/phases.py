"""The two phases of a training whose model begins with a frozen layer (keras.io/guides/transfer_learning)."""

import keras
import tensorflow as tf

from components.common.spec import ModelSpec
from components.families import fine_tuning
from components.train.optimization import learning_rate


class Phases:
    """Freezes a layer at first, as the model's family asks for; of other families, a training is one phase.

    Fine-tuning begins as with a new optimizer: its variables are reset, and the schedule begins anew. The optimizer
    itself stays, and has the frozen layer's variables from the start, so that checkpoints of both phases have the same.

    Args:
        model: The compiled model, with a built optimizer.
        spec: How it is trained.
        per_epoch: The number of steps of an epoch.
        replicas: The number of copies of the model that train together.
        factor: The factor of the learning rate; None where nothing is rolled back.

    Attributes:
        frozen_epochs: The epochs of the first phase.
    """

    def __init__(
        self, model: keras.Model, spec: ModelSpec, per_epoch: int, replicas: int, factor: tf.Variable | None
    ) -> None:
        self._model = model
        self._tuning = fine_tuning(spec)
        self.frozen_epochs = self._tuning.epochs if self._tuning else 0
        self._start = self.frozen_epochs * per_epoch
        self._frozen: bool | None = None
        self._rates: list[float | keras.optimizers.schedules.LearningRateSchedule] = []
        if self._tuning:
            rest = spec.epochs * per_epoch - self._start
            rates = ((spec.learning_rate, self._start), (self._tuning.learning_rate, rest))
            self._rates = [learning_rate(rate, spec, max(1, steps), replicas, factor) for rate, steps in rates]
        # All others begin with zeros.
        self._scalars = {v.path: v.numpy() for v in model.optimizer.variables if not v.shape}

    def enter(self, done: int) -> bool:
        """Set the model and its optimizer up for the next step.

        Args:
            done: The steps done, counted over all epochs.

        Returns:
            Whether other variables are trained than before, so that the step has to be compiled.
        """
        frozen = done < self._start
        changed, self._frozen = frozen != self._frozen, frozen
        if self._tuning:
            optimizer = self._model.optimizer
            self._model.get_layer(self._tuning.layer).trainable = not frozen
            # Also where a training goes on from a checkpoint of this very step: that was saved before.
            for variable in optimizer.variables if done == self._start else ():
                variable.assign(self._scalars.get(variable.path, keras.ops.zeros_like(variable)))
            optimizer.learning_rate = self._rates[not frozen]
        return changed
