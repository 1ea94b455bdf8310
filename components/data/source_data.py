"""The data that a source gives to ingest: labelled images, or the rows of a series."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from components.artifacts.dataset import Check
from components.readers.csv_format import CsvFormat

Image = tuple[bytes, int]
Row = tuple[datetime, list[float]]


@dataclass(frozen=True)
class Images:
    """Labelled images of one size.

    Attributes:
        classes: The names of the labels, in the labels' order.
        shape: The height, width and number of channels of an image.
        splits: For "train", "validation" and "test", a function that returns an iterator of (PNG or JPEG bytes, label).
        resized: Whether the pictures were resized to `shape`.
        files: For each split, the names of the images' files in their order; empty where they have none.
        checks: The checks that the source has made.
    """

    classes: list[str]
    shape: tuple[int, int, int]
    splits: dict[str, Callable[[], Iterator[Image]]]
    resized: bool = False
    files: dict[str, list[str]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


@dataclass(frozen=True)
class Series:
    """A time series with a fixed step.

    Attributes:
        columns: The names of the values, the target first.
        known: The columns that are known in the future.
        frequency: The time between two rows, in the notation of `components.readers.time_axis.Frequency`.
        unit: The target's unit; "" where it is unknown.
        rows: A function that returns an iterator of (time, values in the order of `columns`).
        form: The format of the series' files.
    """

    columns: list[str]
    known: list[str]
    frequency: str
    unit: str
    rows: Callable[[], Iterator[Row]]
    form: CsvFormat = field(default_factory=CsvFormat)
