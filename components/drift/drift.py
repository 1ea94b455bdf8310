"""Compare new data with the training data of a model."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.artifacts.training_profile import CLASS, TrainingProfile, image_features, load_profile
from components.common.errors import InputError
from components.common.spec import Strict
from components.common.words import counted
from components.data.new.batches import load_batches
from components.data.new.example import Failure
from components.data.new.files import find_files
from components.data.new.images import read_images
from components.data.new.series import Row, read_series
from components.drift.measure import BINS, EXAMPLES_PER_BIN, Classes, Numbers, psi
from components.models.model_folder import ModelFolder, find_model, load_predict
from components.readers.csv_regular import Changes

ROWS = 4096

# The values of each feature, float [examples], and the examples that can't be read.
FeatureBatch = tuple[dict[str, np.ndarray], list[Failure]]


class FeatureDrift(Strict):
    """The drift of a feature.

    Attributes:
        psi: The population stability index.
        ks: The Kolmogorov-Smirnov statistic; None for classes, which have no order.
        training: The mean of the training data. For classes, the share of the class whose share changed most.
        new: The mean of the new data, or the share of that class in it.
        drifted: Whether psi or ks is above the threshold.
        note: The name of that class; empty for other features.
    """

    psi: float
    ks: float | None
    training: float
    new: float
    drifted: bool
    note: str = ""


class Drift(Strict):
    """The drift of new data.

    Attributes:
        model: The model's folder.
        input: The new data.
        threshold: The value of psi or ks above which a feature has drifted.
        examples: The number of images, or of rows of a series, that were compared.
        failed: The number of images or rows that can't be read.
        missing: The number of missing values of each column of a series that lacks any, filled or not.
        features: The features by name: those of `image_features` and the predicted class, or the columns of a series.
            "<column>, missing" is whether a value was missing.
    """

    model: str
    input: str
    threshold: float
    examples: int
    failed: int
    missing: dict[str, int] = {}
    features: dict[str, FeatureDrift]

    def drifted(self) -> list[str]:
        """The names of the features that have drifted."""
        return [name for name, feature in self.features.items() if feature.drifted]


def drift(
    model: str,
    source: str,
    threshold: float,
    progress: Callable[[int], object] = lambda examples: None,
    registry: Path | None = None,
) -> Drift:
    """Compare new data with the training data, as a stream.

    Args:
        model: The model's folder, from export or from the registry.
        source: A file or a folder, in a format of `components.data.new.files.READABLE`.
        threshold: The threshold of PSI and KS, which `components.drift.measure` explains.
        progress: A function that is called with the number of examples compared so far.
        registry: The registry that has to have written the model; None allows any folder.

    Raises:
        InputError: The model isn't the registry's or was changed, or there are too few examples.
    """
    model_folder = find_model(model, registry)
    profile = load_profile(model_folder.path, model_folder.info)
    info = model_folder.info
    path = find_files(source, info.task)
    numbers = {name: Numbers(training) for name, training in profile.numbers.items()}
    classes = Classes(profile.classes)
    changes, lost = Changes(), Counter[str]()
    batches = (
        _image_batches(model_folder, path, classes)
        if isinstance(info, ImagesInfo)
        else _row_batches(info, path, changes, lost)
    )
    examples, failed, first_failure = 0, 0, None
    for features, failures in batches:
        for name, values in features.items():
            numbers[name].add(values)
        examples += len(next(iter(features.values()), ()))
        first_failure = first_failure or next(iter(failures), None)
        failed += len(failures)
        progress(examples)
    needed = EXAMPLES_PER_BIN * max(BINS, len(profile.classes))
    if examples < needed:
        why = f"; {failed:,} can't be read, {first_failure.id}: {first_failure.reason}" if first_failure else ""
        raise InputError(
            f"{source}: {counted(examples, 'example')}, expected {needed} or more to tell drift from chance{why}"
        )
    drifts = _feature_drifts(numbers, classes, profile, threshold)
    missing = changes.filled + lost
    if isinstance(info, SeriesInfo):
        drifts |= _missing_drifts(missing, examples + lost.total(), info, threshold)
    return Drift(
        model=model,
        input=source,
        threshold=threshold,
        examples=examples,
        failed=failed,
        missing=dict(missing),
        features=drifts,
    )


def _image_batches(model_folder: ModelFolder, path: Path, classes: Classes) -> Iterator[FeatureBatch]:
    """The features and failures of each batch of images. Their predicted classes are counted in `classes`."""
    info = model_folder.info
    assert isinstance(info, ImagesInfo)  # noqa: S101 (the caller has checked)
    predict = load_predict(model_folder)
    for batch in load_batches(read_images(path, info), info):
        if batch.examples:
            classes.add(info.classes[best] for best in predict(batch.inputs).argmax(axis=1))
        yield image_features(batch.inputs["image"]) if batch.examples else {}, batch.failures


def _row_batches(info: SeriesInfo, path: Path, changes: Changes, lost: Counter[str]) -> Iterator[FeatureBatch]:
    """The columns and failures of each batch of rows, without the rows of the future.

    What was filled is counted in `changes`, and in `lost` the rows without a target after which the series goes on.
    """
    for _, _, rows in read_series(path, info, changes):
        without_target = 0
        while batch := list(islice(rows, ROWS)):
            for row in batch:
                if isinstance(row, Row) and row.future:
                    without_target += 1
                elif without_target:
                    lost[info.columns[0]] += without_target
                    without_target = 0
            values = [row.values for row in batch if isinstance(row, Row) and not row.future]
            table = np.array(values, np.float32).reshape(len(values), len(info.stored))
            columns = {name: table[:, i] for i, name in enumerate(info.columns)} if values else {}
            yield columns, [row for row in batch if isinstance(row, Failure)]


def _feature_drifts(
    numbers: dict[str, Numbers], classes: Classes, profile: TrainingProfile, threshold: float
) -> dict[str, FeatureDrift]:
    features = {
        name: _drift(threshold, feature.psi(), feature.ks(), profile.numbers[name].mean, feature.mean())
        for name, feature in numbers.items()
    }
    if profile.classes:
        name, training, new = classes.largest_change()
        features[CLASS] = _drift(threshold, classes.psi(), None, training, new, name)
    return features


def _missing_drifts(missing: Counter[str], rows: int, info: SeriesInfo, threshold: float) -> dict[str, FeatureDrift]:
    """The drift of the share of missing values, of each column that lacks any now or lacked any in the training."""
    features = {}
    for column in info.columns:
        training, new = info.filled.get(column, 0) / sum(info.records.values()), missing[column] / rows
        if training or new:
            index = psi([1 - training, training], [rows - missing[column], missing[column]])
            features[f"{column}, missing"] = _drift(threshold, index, abs(new - training), training, new)
    return features


def _drift(
    threshold: float, index: float, ks: float | None, training: float, new: float, note: str = ""
) -> FeatureDrift:
    drifted = max(index, ks or 0.0) > threshold
    return FeatureDrift(psi=index, ks=ks, training=training, new=new, drifted=drifted, note=note)
