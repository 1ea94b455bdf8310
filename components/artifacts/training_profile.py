"""`reference.json`: how the training data are distributed, for whoever asks whether new data still are.

A feature is kept as its cumulative distribution at some of its quantiles, so a comparison needs no training example.
"""

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.common.errors import InputError
from components.common.files import write_text
from components.common.spec import Strict

FILE = "reference.json"
# Every half percent: a Kolmogorov-Smirnov statistic computed at these points is at most that much too small.
QUANTILES = 201
# A class that the model predicts is the only feature that has no order.
CLASS = "predicted class"
IMAGE_FEATURES = ("brightness", "contrast", "edges")


class Distribution(Strict):
    """The distribution of a number.

    Attributes:
        values: Quantiles, rising, each once; the smallest and the largest value among them.
        below: For each, the share of the examples that are smaller.
        up_to: For each, the share that are smaller or equal.
        mean: Of all.
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


class TrainingProfile(Strict):
    """The training split's features.

    Attributes:
        examples: How many it was made of: images, or rows of a series.
        numbers: For each feature its distribution.
        classes: Share of each class among the model's predictions; empty for a series.
    """

    examples: int
    numbers: dict[str, Distribution]
    classes: dict[str, float] = {}


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
    """Features of images that a camera, light or a converter change.

    Args:
        images: uint8 [images, height, width, channels].

    Returns:
        float64 [images] for each: brightness and contrast, mean and standard deviation of all values as shares of 255;
        and edges, the mean difference between neighbours, which blur makes small and noise makes large.
    """
    values = images.astype(np.float32) / 255
    flat = values.reshape(len(values), -1)
    steps = [np.abs(np.diff(values, axis=axis)).reshape(len(values), -1) for axis in (1, 2)]
    edges = np.concatenate(steps, axis=1)
    found = (
        flat.mean(axis=1, dtype=np.float64),
        flat.std(axis=1, dtype=np.float64),
        # An image of one pixel has no neighbours.
        edges.mean(axis=1, dtype=np.float64) if edges.size else np.zeros(len(values)),
    )
    return dict(zip(IMAGE_FEATURES, found, strict=True))


def save_profile(reference: TrainingProfile, folder: Path) -> None:
    """Write it beside a model."""
    write_text(folder / FILE, reference.model_dump_json() + "\n")


def load_profile(folder: Path, info: DatasetInfo) -> TrainingProfile:
    """Read it.

    Args:
        folder: The model's folder.
        info: Its data set.

    Raises:
        InputError: The model has none, or one of other data.
    """
    path = folder / FILE
    features, classes = (list(IMAGE_FEATURES), info.classes) if isinstance(info, ImagesInfo) else (info.columns, [])
    try:
        found = TrainingProfile.model_validate_json(path.read_text(encoding="utf-8"))
        if [list(found.numbers), list(found.classes)] != [features, classes]:
            raise InputError(f"{path}: of {[*found.numbers, *found.classes]}, expected {[*features, *classes]}")
        return found
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; export the model again") from None
    except ValidationError as error:
        raise InputError(f"{path}: not a description of training data: {error.errors()[0]['msg']}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a description of training data: {error}") from None
