"""Describe the training split for whoever asks later whether new data are like it."""

import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.model import Call
from components.artifacts.training_profile import TrainingProfile, distribution, image_features
from components.data import batching, storage

# Predicting all images would take longer than the rest of the export. They are stored in random order.
IMAGES = 5120
BATCH = 256


def training_profile(call: Call, dataset: str, info: DatasetInfo) -> TrainingProfile:
    """The features of training images and what the model predicts for them, or the columns of training rows.

    Args:
        call: The trained model, compiled.
        dataset: The data set folder.
        info: Its description.
    """
    if not isinstance(info, ImagesInfo):
        rows = storage.load_rows(dataset, info, "train")
        columns = {name: distribution(rows[:, i]) for i, name in enumerate(info.columns)}
        return TrainingProfile(examples=len(rows), numbers=columns)
    counts, found = np.zeros(len(info.classes)), []
    for images, _ in (
        batching.sequential_batches(dataset, info, "train", BATCH).take(IMAGES // BATCH).as_numpy_iterator()
    ):
        found.append(image_features(images))
        predicted = call(images).numpy().argmax(axis=1)
        counts += np.bincount(predicted, minlength=len(counts))
    return TrainingProfile(
        examples=int(counts.sum()),
        numbers={name: distribution(np.concatenate([f[name] for f in found])) for name in found[0]},
        classes=dict(zip(info.classes, (counts / counts.sum()).tolist(), strict=True)),
    )
