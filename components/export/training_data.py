"""Describe the training split, so that drift can compare new data with it."""

import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.model import Call
from components.artifacts.training_profile import TrainingProfile, distribution, image_features
from components.data import input_pipeline, storage

# The number of images that are used. The prediction of all would take longer than the rest of the export, and images
# are stored in random order.
IMAGES = 5120
BATCH = 256


def training_profile(call: Call, dataset: str, info: DatasetInfo) -> TrainingProfile:
    """The features of training images and the model's predictions for them, or the columns of training rows.

    Args:
        call: The trained model as a function.
        dataset: The data set's folder.
        info: The description of the data set.
    """
    if not isinstance(info, ImagesInfo):
        rows = storage.load_rows(dataset, info, "train")
        columns = {name: distribution(rows[:, i]) for i, name in enumerate(info.columns)}
        return TrainingProfile(examples=len(rows), numbers=columns)
    counts, features = np.zeros(len(info.classes)), []
    for images, _ in (
        input_pipeline.sequential_batches(dataset, info, "train", BATCH).take(IMAGES // BATCH).as_numpy_iterator()
    ):
        features.append(image_features(images))
        predicted = call(images).numpy().argmax(axis=1)
        counts += np.bincount(predicted, minlength=len(counts))
    return TrainingProfile(
        examples=int(counts.sum()),
        numbers={name: distribution(np.concatenate([batch[name] for batch in features])) for name in features[0]},
        classes=dict(zip(info.classes, (counts / counts.sum()).tolist(), strict=True)),
    )
