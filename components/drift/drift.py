"""Compare new data with the training data of a model."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from components.artifacts.dataset import ImagesInfo, SeriesInfo
from components.artifacts.training_profile import CLASS, TrainingProfile, image_features, load_profile
from components.common.errors import InputError
from components.common.spec import Strict
from components.data.new.batches import batches
from components.data.new.example import Failure
from components.data.new.files import find_files
from components.data.new.images import read_images
from components.data.new.series import Row, read_series
from components.drift.measure import BINS, EXAMPLES_PER_BIN, Classes, Numbers
from components.models.served import ServedModel, find_model, load_predict

ROWS = 4096


class FeatureDrift(Strict):
    """How far a feature is from where it was.

    Attributes:
        psi: Population stability index.
        ks: Kolmogorov-Smirnov statistic; None of classes, which have no order.
        training: Mean of the training data; of classes, the share of the one that moved most.
        new: The same of the new data.
        drifted: Whether psi or ks is above the threshold.
        note: That class' name.
    """

    psi: float
    ks: float | None
    training: float
    new: float
    drifted: bool
    note: str = ""


class Drift(Strict):
    """What was found.

    Attributes:
        model: The model's folder.
        input: The new data.
        threshold: Above which a feature has drifted.
        examples: Images, or rows of a series, compared.
        failed: Those that can't be read.
        features: By name: of images what `image_features` gives and the predicted class; of a series its columns.
    """

    model: str
    input: str
    threshold: float
    examples: int
    failed: int
    features: dict[str, FeatureDrift]

    def drifted(self) -> list[str]:
        """Names of the features that have."""
        return [name for name, moved in self.features.items() if moved.drifted]


def drift(
    model: str,
    source: str,
    threshold: float,
    progress: Callable[[int], object] = lambda examples: None,
    registry: Path | None = None,
) -> Drift:
    """Compare new data with the training data, as a stream.

    Args:
        model: The model's folder: what export wrote, or a copy that register made.
        source: A file or a folder, see `components.data.new.files.READABLE`.
        threshold: Of PSI and of KS; see `components.drift.measure`.
        progress: Is told how many examples have been compared.
        registry: The registry that has to have written the model; None trusts whoever did.

    Raises:
        InputError: The model isn't the registry's or was changed, or there are too few examples.
    """
    served = find_model(model, registry)
    reference = load_profile(served.folder, served.info)
    path = find_files(source, served.info.task)
    numbers = {name: Numbers(training) for name, training in reference.numbers.items()}
    classes = Classes(reference.classes)
    found = _images(served, path, classes) if isinstance(served.info, ImagesInfo) else _rows(served.info, path)
    examples, failures, first = 0, 0, None
    for features, failed in found:
        for name, values in features.items():
            numbers[name].add(values)
        examples += len(next(iter(features.values()), ()))
        first = first or next(iter(failed), None)
        failures += len(failed)
        progress(examples)
    needed = EXAMPLES_PER_BIN * max(BINS, len(reference.classes))
    if examples < needed:
        why = f"; {failures:,} can't be read, {first.id}: {first.reason}" if first else ""
        raise InputError(f"{source}: {_examples(examples)}, expected {needed} or more to tell drift from chance{why}")
    return Drift(
        model=model,
        input=source,
        threshold=threshold,
        examples=examples,
        failed=failures,
        features=_measured(numbers, classes, reference, threshold),
    )


def _images(served: ServedModel, path: Path, classes: Classes) -> Iterator[tuple[dict[str, np.ndarray], list[Failure]]]:
    """Features of each batch of images, whose classes are counted, and what can't be read."""
    assert isinstance(served.info, ImagesInfo)  # noqa: S101 (the caller looked)
    predict = load_predict(served)
    for batch in batches(read_images(path, served.info), served.info):
        if batch.examples:
            classes.add(served.info.classes[best] for best in predict(batch.inputs).argmax(axis=1))
        yield image_features(batch.inputs["image"]) if batch.examples else {}, batch.failures


def _rows(info: SeriesInfo, path: Path) -> Iterator[tuple[dict[str, np.ndarray], list[Failure]]]:
    """Columns of each batch of rows, those of the future left out, and what can't be read."""
    for _, rows in read_series(path, info):
        while some := list(islice(rows, ROWS)):
            values = [row.values for row in some if isinstance(row, Row) and not row.future]
            table = np.array(values, np.float32).reshape(len(values), len(info.stored))
            columns = {name: table[:, i] for i, name in enumerate(info.columns)} if values else {}
            yield columns, [row for row in some if isinstance(row, Failure)]


def _examples(count: int) -> str:
    return f"{count:,} example{'' if count == 1 else 's'}"


def _measured(
    numbers: dict[str, Numbers], classes: Classes, reference: TrainingProfile, threshold: float
) -> dict[str, FeatureDrift]:
    features = {}
    for name, found in numbers.items():
        index, distance = found.psi(), found.ks()
        features[name] = FeatureDrift(
            psi=index,
            ks=distance,
            training=reference.numbers[name].mean,
            new=found.mean(),
            drifted=max(index, distance) > threshold,
        )
    if reference.classes:
        name, before, now = classes.most_moved()
        index = classes.psi()
        features[CLASS] = FeatureDrift(
            psi=index, ks=None, training=before, new=now, drifted=index > threshold, note=name
        )
    return features
