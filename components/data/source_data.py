"""The data that a source gives to ingest: labelled images, or the rows of a series."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from components.artifacts.dataset import Check
from components.common.spec import Scaling
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
    """A time series with a fixed step, or many of them.

    Attributes:
        columns: The names of the values, the target first.
        known: The columns that are known in the future.
        frequency: The time between two rows, in the notation of `components.readers.time_axis.Frequency`.
        unit: The target's unit; "" where it is unknown.
        rows: A function that returns an iterator of (time, values in the order of `columns`).
        form: The format of the series' files. Its `series` says whether there are many.
        many: A function that returns an iterator of (name of a series, iterator of its rows), in the names' order.
            None where there is one series.
        static: The columns that have one value in each of many series.
        scaling: See `components.artifacts.dataset.SeriesInfo`.
    """

    columns: list[str]
    known: list[str]
    frequency: str
    unit: str
    rows: Callable[[], Iterator[Row]]
    form: CsvFormat = field(default_factory=CsvFormat)
    many: Callable[[], Iterator[tuple[str, Iterator[Row]]]] | None = None
    static: list[str] = field(default_factory=list)
    scaling: Scaling = "shared"
