"""What a source hands to ingest: labelled images, or the rows of a series."""

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
        classes: Names of the labels, in the labels' order.
        shape: Height, width, channels.
        splits: For "train", "validation" and "test": makes an iterator of (PNG or JPEG bytes, label).
        resized: Whether the pictures were of any size before.
        files: For each split the names of the images' files, in the order that they come; empty where they have none.
        checks: What the source has checked of them.
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
        columns: Names of the values, the target first.
        known: Those columns that are known in the future.
        frequency: The step, see `components.readers.time_axis.Frequency`.
        unit: The target's unit, "" where unknown.
        rows: Makes an iterator of (time, values in the order of `columns`).
        form: How a file of it is written.
    """

    columns: list[str]
    known: list[str]
    frequency: str
    unit: str
    rows: Callable[[], Iterator[Row]]
    form: CsvFormat = field(default_factory=CsvFormat)
