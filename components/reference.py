"""`reference.json`: how the training data are distributed, for whoever asks whether new data still are.

A feature is kept as its cumulative distribution at some of its quantiles, so a comparison needs no training example.
"""

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from components.errors import InputError
from components.files import write_text
from components.spec import Strict

FILE = "reference.json"
# Every half percent: a Kolmogorov-Smirnov statistic computed at these points is at most that much too small.
QUANTILES = 201
# A class that the model predicts is the only feature that has no order.
CLASS = "predicted class"


class Distribution(Strict):
    """The distribution of a number.

    Attributes:
        values: Quantiles, rising, each once; the smallest and the largest value among them.
        below: For each, the share of the examples that are smaller.
        up_to: For each, the share that are smaller or equal.
        mean: Of all.
    """

    values: list[float]
    below: list[float]
    up_to: list[float]
    mean: float


class Reference(Strict):
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
    return {
        "brightness": flat.mean(axis=1, dtype=np.float64),
        "contrast": flat.std(axis=1, dtype=np.float64),
        # An image of one pixel has no neighbours.
        "edges": edges.mean(axis=1, dtype=np.float64) if edges.size else np.zeros(len(values)),
    }


def write_reference(reference: Reference, folder: Path) -> None:
    """Write it beside a model."""
    write_text(folder / FILE, reference.model_dump_json() + "\n")


def load_reference(folder: Path) -> Reference:
    """Read it.

    Raises:
        InputError: The model has none.
    """
    path = folder / FILE
    try:
        return Reference.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; export the model again") from None
    except ValidationError as error:
        raise InputError(f"{path}: not a description of training data: {error.errors()[0]['msg']}") from None
