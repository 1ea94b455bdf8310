"""The batches of a training and its validations, which its devices share."""

from collections.abc import Callable

import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, ImagesInfo, SeriesInfo
from components.common.checked_types import unknown_classes
from components.common.errors import InputError
from components.common.no_autograph import no_autograph
from components.common.spec import ModelSpec
from components.data import input_pipeline
from components.data.augmentation import augmented
from components.data.replicas import evaluation_batch_size, per_replica, steps_per_epoch
from components.train.devices import Devices

EVALUATION_BATCH = 512


class SharedBatches:
    """The batches of a training, which its devices share.

    Args:
        name: The model's name.
        spec: How the model is trained.
        dataset: The data set folder.
        info: The description of the data set.
        seed: The seed of the order of examples.
        devices: The devices that share each batch.

    Attributes:
        size: The number of examples of a step, over all replicas.
        per_epoch: The number of steps of an epoch.
        validation_steps: The number of batches of a validation.

    Raises:
        InputError: The batches can't be shared by the replicas, their options are for another task, or there is no such
            class as one that has a weight.
    """

    def __init__(
        self, name: str, spec: ModelSpec, dataset: str, info: DatasetInfo, seed: int, devices: Devices
    ) -> None:
        if info.task == "forecasting" and (
            spec.flip or spec.label_smoothing or spec.class_weights or spec.augment.any()
        ):
            keys = "flip, augment, label_smoothing and class_weights"
            raise InputError(f"model {name}: {keys} are for images, {info.name} is a series")
        self._class_weights = _class_weights(name, spec, info) if isinstance(info, ImagesInfo) else None
        self.size = spec.batch_size * (devices.replicas if spec.per_replica else 1)
        if self.size % devices.replicas:
            raise InputError(
                f"model {name}: batch_size {self.size}, expected a multiple of the {devices.replicas} replicas, "
                f"or per_replica: true"
            )
        for split, size in (("train", self.size), ("validation", devices.replicas)):
            if not steps_per_epoch(info, split, size, devices.share):
                raise InputError(f"model {name}: {info.examples(split)} examples of {split} fill no batch of {size}")
        self._spec, self._dataset, self._info, self._seed, self._devices = spec, dataset, info, seed, devices
        self._validation_size = evaluation_batch_size(info, "validation", EVALUATION_BATCH, devices.share)
        # Large series would outweigh small ones where each is scaled by itself. A squared error grows by the square.
        scaled = isinstance(info, SeriesInfo) and info.series is not None and info.scaling == "window"
        squared = spec.loss in (None, "mse") and not spec.quantiles
        self._loss_power = (2 if squared else 1) if scaled else 0
        self.per_epoch = steps_per_epoch(info, "train", self.size, devices.share)
        self.validation_steps = steps_per_epoch(info, "validation", self._validation_size, devices.share)

    def training(self, first_step: int) -> tf.data.Dataset:
        """The batches of all epochs from a step on, counted over all of them."""
        spec, share = self._spec, self._devices.share
        batches = input_pipeline.shuffled_batches(
            self._dataset,
            self._info,
            "train",
            self.size,
            seed=self._seed,
            epochs=spec.epochs,
            first_step=first_step,
            flip=spec.flip,
            share=share,
            loss_power=self._loss_power,
        )
        if spec.augment.any() and isinstance(self._info, ImagesInfo):
            classes = len(self._info.classes)
            batches = augmented(batches, spec.augment, classes, self._seed, first_step, share)
        if self._class_weights is not None:
            batches = batches.map(_weighed(self._class_weights))
        return self._distributed(batches)

    def validation(self) -> tf.data.Dataset:
        """The batches of a validation."""
        size, share = self._validation_size, self._devices.share
        return self._distributed(
            input_pipeline.sequential_batches(
                self._dataset, self._info, "validation", size, share, cache=True, loss_power=self._loss_power
            )
        )

    def _distributed(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """As the strategy takes them. Of endless ones it doesn't ask all replicas at each step whether they go on."""
        devices = self._devices
        if not devices.distributed:
            return batches
        if devices.workers == 1:
            return devices.strategy.experimental_distribute_dataset(batches.repeat())
        own = per_replica(batches.repeat(), devices.replicas // devices.workers)
        return devices.strategy.distribute_datasets_from_function(lambda _: own)


def _weighed(class_weights: list[float]) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """A function that adds to a batch the weight of each image. Mixed labels mix their weights."""
    weights = tf.constant(class_weights, tf.float32)

    @no_autograph
    def weigh(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mixed = label.shape.rank == 2
        return image, label, tf.linalg.matvec(label, weights) if mixed else tf.gather(weights, label)

    return weigh


def _class_weights(name: str, spec: ModelSpec, info: ImagesInfo) -> list[float] | None:
    """The weight of each class in the training loss, in the labels' order; None where they have none."""
    if spec.class_weights is None:
        return None
    if spec.class_weights == "balanced":
        examples, classes = info.examples("train"), len(info.classes)
        # King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868
        return [examples / (classes * count) for count in info.label_counts["train"]]
    if problems := unknown_classes(spec.class_weights, info.classes):
        raise InputError(*(f"model {name}: {problem}" for problem in problems))
    return [spec.class_weights.get(label, 1.0) for label in info.classes]
