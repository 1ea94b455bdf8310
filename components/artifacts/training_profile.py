"""`reference.json`: the distributions of the training data's features, for the comparison with later data.

Each distribution is stored as the cumulative distribution at its quantiles, so that a comparison needs no training
example.
"""

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, FiniteFloat, TypeAdapter, model_validator

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.artifacts.json_file import JsonFile
from components.common.errors import InputError
from components.common.spec import Strict, read_checked

# One quantile every half percent. The Kolmogorov-Smirnov statistic at these points is at most half a percent too small.
QUANTILES = 201
# The predicted class is the only feature without an order.
CLASS = "predicted class"
IMAGE_FEATURES = ("brightness", "contrast", "edges")


class Distribution(Strict):
    """The distribution of a number.

    Attributes:
        values: The quantiles in rising order, each once. They include the smallest and the largest value.
        below: For each quantile, the share of the examples that are smaller.
        up_to: For each quantile, the share of the examples that are smaller or equal.
        mean: The mean of all examples.
    """

    values: list[FiniteFloat] = Field(min_length=1)
    below: list[FiniteFloat]
    up_to: list[FiniteFloat]
    mean: FiniteFloat

    @model_validator(mode="after")
    def _shares_of_every_value(self) -> Self:
        if not len(self.values) == len(self.below) == len(self.up_to):
            raise ValueError("as many shares as values are expected")
        return self


class TrainingProfile(JsonFile):
    """The features of the training split.

    Attributes:
        examples: The number of examples: images, or rows of a series.
        numbers: The distribution of each feature.
        classes: The share of each class among the model's predictions; empty for a series.
    """

    FILE = "reference.json"
    INDENT = None
    examples: int
    numbers: dict[str, Distribution]
    classes: dict[str, float] = {}


_ADAPTER = TypeAdapter(TrainingProfile)


def distribution(values: np.ndarray) -> Distribution:
    """Describe the values of a feature, float [examples]."""
    exact = np.sort(values.astype(np.float64))
    points = np.unique(np.quantile(exact, np.linspace(0, 1, QUANTILES), method="inverted_cdf"))
    return Distribution(
        values=points.tolist(),
        below=(np.searchsorted(exact, points, "left") / len(exact)).tolist(),
        up_to=(np.searchsorted(exact, points, "right") / len(exact)).tolist(),
        mean=float(exact.mean()),
    )


def image_features(images: np.ndarray) -> dict[str, np.ndarray]:
    """The features of images that another camera, light or converter changes.

    Args:
        images: The images, uint8 [images, height, width, channels].

    Returns:
        Each feature, float64 [images]. Brightness and contrast are the mean and the standard deviation of all values,
        as shares of 255. Edges is the mean difference between neighbours, which blur makes small and noise large.
    """
    values = images.astype(np.float32) / 255
    flat = values.reshape(len(values), -1)
    steps = [np.abs(np.diff(values, axis=axis)).reshape(len(values), -1) for axis in (1, 2)]
    edges = np.concatenate(steps, axis=1)
    features = (
        flat.mean(axis=1, dtype=np.float64),
        flat.std(axis=1, dtype=np.float64),
        # An image of one pixel has no neighbours.
        edges.mean(axis=1, dtype=np.float64) if edges.size else np.zeros(len(values)),
    )
    return dict(zip(IMAGE_FEATURES, features, strict=True))


def load_profile(folder: Path, info: DatasetInfo) -> TrainingProfile:
    """Read the `reference.json` of a model's folder.

    Args:
        folder: The model's folder.
        info: The description of its data set.

    Raises:
        InputError: The folder has no such file, or one of other data.
    """
    path = folder / TrainingProfile.FILE
    features, classes = (list(IMAGE_FEATURES), info.classes) if isinstance(info, ImagesInfo) else (info.columns, [])
    profile = read_checked(path, _ADAPTER, "a description of training data", "export the model again")
    if [list(profile.numbers), list(profile.classes)] != [features, classes]:
        raise InputError(f"{path}: of {[*profile.numbers, *profile.classes]}, expected {[*features, *classes]}")
    return profile
