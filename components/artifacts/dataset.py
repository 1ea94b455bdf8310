"""The `Dataset` folder that ingest writes and every other step reads.

It is a folder that `tfds.builder_from_directory` opens: TFRecord shards, TFDS' own metadata, and beside
them `dataset.json`, described by the classes here.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from components.common.errors import InputError
from components.common.files import write_text
from components.common.spec import Strict
from components.readers.csv_format import CsvFormat
from components.readers.time_axis import Frequency

_DATASET = "dataset.json"
SPLITS = ("train", "validation", "test")


class Check(Strict):
    """A check of the data that was made and passed, with what it found."""

    name: str
    found: str


class _Info(Strict):
    """What both kinds of data set have.

    Attributes:
        name: The data set's name in the experiment.
        source: Where it comes from.
        records: For each split, the records that are stored: images, or rows of a series.
        mean: Of each channel or column, over the training split.
        std: Standard deviation of the same; 1 where it would be 0.
        sha256: Digest of all records in their order.
        checks: The checks that passed.
    """

    name: str
    source: str
    records: dict[str, int]
    mean: list[float]
    std: list[float]
    sha256: str
    checks: list[Check]


class ImagesInfo(_Info):
    """A data set of labelled images.

    Attributes:
        classes: Names of the labels, in the labels' order.
        shape: Height, width, channels.
        label_counts: For each split, how many images each label has.
        resized: Whether pictures of any size were resized to `shape`.
        named: Whether each record has the name of its file, see `components.data.storage.load_names`.
    """

    task: Literal["classification"] = "classification"
    classes: list[str]
    shape: list[int] = Field(min_length=3, max_length=3)
    label_counts: dict[str, list[int]]
    resized: bool = False
    named: bool = False

    def examples(self, split: str) -> int:
        """How many examples a model sees of `split`."""
        return self.records[split]


class SeriesInfo(_Info, CsvFormat):
    """A time series, cut into windows when it is read.

    Attributes:
        stored: Names of the values of a stored row. `mean` and `std` are in their order.
        columns: The first of them, which a window shows; the very first is the target.
        known: Those stored values that are known in the future, the calendar's among them.
        frequency: The step, see `components.readers.time_axis.Frequency`.
        unit: The target's unit.
        lookback: Rows that a model sees before the first that it forecasts.
        horizon: Rows that it forecasts.
        seasonal_error: Mean absolute difference of the target one season apart, over the training split: the
            scale of MASE (Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001).
        filled: Values that were filled, by column.
    """

    task: Literal["forecasting"] = "forecasting"
    stored: list[str]
    columns: list[str]
    known: list[str]
    frequency: str
    unit: str
    lookback: int
    horizon: int
    seasonal_error: float
    filled: dict[str, int] = {}

    def examples(self, split: str) -> int:
        """How many windows lie wholly in `split`, one at every row."""
        return max(0, self.records[split] - self.lookback - self.horizon + 1)

    def season(self) -> int:
        """Steps of the shortest season."""
        return Frequency(self.frequency).season()

    def calendar(self) -> list[str]:
        """The cycles that columns are derived from, see `components.readers.time_axis.calendar_values`."""
        return [name.removesuffix("_sin") for name in self.stored[len(self.columns) :: 2]]

    def known_places(self) -> list[int]:
        """Places in a stored row of the values that are known in the future."""
        return [self.stored.index(name) for name in self.known]


DatasetInfo = ImagesInfo | SeriesInfo
_ADAPTER: TypeAdapter[DatasetInfo] = TypeAdapter(DatasetInfo)


def save_info(folder: Path, info: DatasetInfo) -> None:
    """Write the description of a data set folder, or of one beside a model."""
    write_text(folder / _DATASET, info.model_dump_json(indent=2) + "\n")


def load_info(folder: Path | str) -> DatasetInfo:
    """Read the description of a data set folder.

    Raises:
        InputError: The folder has none, or not one of this version.
    """
    path = Path(folder) / _DATASET
    try:
        return _ADAPTER.validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected a folder that ingest wrote") from None
    except ValidationError as error:
        raise InputError(f"{path}: not a data set's description: {error.errors()[0]['msg']}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a data set's description: {error}") from None
