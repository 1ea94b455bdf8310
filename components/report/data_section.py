"""The part of the page about a data set."""

from dataclasses import dataclass, field

import numpy as np

from components.artifacts.dataset import SPLITS, DatasetInfo, ImagesInfo, SeriesInfo, load_info
from components.artifacts.series_table import SeriesTable, load_table
from components.common.words import counted
from components.data import storage
from components.readers.time_axis import Frequency
from components.report import forecasting, pictures
from components.report.svg import Picture


@dataclass(frozen=True)
class Data:
    """A data set, as the sections of the page use it.

    Attributes:
        folder: The data set's folder.
        info: Its description.
        rows: For each split of a series, the times int64 [rows] in seconds since 1970 and the target float32 [rows].
            Empty for images.
        table: The table of the series; None for images.
    """

    folder: str
    info: DatasetInfo
    rows: dict[str, forecasting.Rows] = field(default_factory=dict)
    table: SeriesTable | None = None


@dataclass(frozen=True)
class ClassRow:
    """A class of a data set of images.

    Attributes:
        name: The name of the class.
        images: Some of its images side by side, as a data URI; "" where none are shown.
        counts: The number of its images in each split.
        share: The number of its training images, divided by that of the largest class.
    """

    name: str
    images: str
    counts: list[int]
    share: float


@dataclass(frozen=True)
class DataSection:
    """The section of the page about a data set.

    Attributes:
        info: The description of the data set.
        example: A sentence on what an example is.
        splits: The number of stored records and of examples of each split.
        classes: The classes of images; empty for a series.
        series: The drawing of a series, or of the mean of many at each time; None for images.
    """

    info: DatasetInfo
    example: str
    splits: dict[str, tuple[int, int]]
    classes: list[ClassRow]
    series: Picture | None


def read(folder: str) -> Data:
    """Read the description of a data set, and the target of a series."""
    info = load_info(folder)
    if isinstance(info, ImagesInfo):
        return Data(folder, info)
    rows = {}
    for split in SPLITS:
        batches = list(storage.read_rows(folder, split, len(info.stored)).as_numpy_iterator())
        rows[split] = (np.concatenate([t for t, _ in batches]), np.concatenate([v[:, 0] for _, v in batches]))
    return Data(folder, info, rows, load_table(folder, info))


def section(data: Data) -> DataSection:
    """Draw and describe a data set."""
    info, rows = data.info, data.rows
    if isinstance(info, SeriesInfo) and info.series:
        rows = {split: _mean_of_all(*values) for split, values in rows.items()}
    return DataSection(
        info=info,
        example=describe(info),
        splits={split: (info.records[split], info.examples(split)) for split in SPLITS},
        classes=_classes(data.folder, info) if isinstance(info, ImagesInfo) else [],
        series=forecasting.series(info, rows) if isinstance(info, SeriesInfo) else None,
    )


def _mean_of_all(times: np.ndarray, target: np.ndarray) -> forecasting.Rows:
    moments, places, counts = np.unique(times, return_inverse=True, return_counts=True)
    return moments, np.bincount(places, target) / counts


def describe(info: DatasetInfo) -> str:
    """A sentence on what an example is."""
    if isinstance(info, ImagesInfo):
        height, width, channels = info.shape
        return f"Images of {height} × {width} × {channels}, each of one of {counted(len(info.classes), 'class')}."
    target = f"{info.columns[0]}{f' in {info.unit}' if info.unit else ''}"
    each = f" in each series, told apart by {info.series}" if info.series else ""
    text = f"A row every {Frequency(info.frequency).words()}{each}. "
    text += f"From {counted(info.lookback, 'row')} of {', '.join(info.columns)}"
    if info.known:
        text += f" and what is known ahead ({', '.join(info.known)})"
    return f"{text}, the next {'value' if info.horizon == 1 else f'{info.horizon} values'} of {target}."


def _classes(folder: str, info: ImagesInfo) -> list[ClassRow]:
    shown = pictures.examples(folder, info)
    largest = max(info.label_counts["train"])
    return [
        ClassRow(
            name=name,
            images=shown[i] if i < len(shown) else "",
            counts=[info.label_counts[split][i] for split in SPLITS],
            share=info.label_counts["train"][i] / largest,
        )
        for i, name in enumerate(info.classes)
    ]
