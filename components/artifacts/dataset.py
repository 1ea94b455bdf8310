"""The `Dataset` folder that ingest writes and every other step reads.

`tfds.builder_from_directory` opens the folder: it has TFRecord shards and TFDS' own metadata. Beside them stands
`dataset.json`, whose schema the classes here are.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from components.artifacts.json_file import JsonFile
from components.common.checked_types import Quantiles
from components.common.spec import Scaling, Strict, read_checked
from components.readers.csv_format import CsvFormat
from components.readers.time_axis import Frequency

SPLITS = ("train", "validation", "test")
# The least standard deviation that a window is scaled by, as a share of the size of its mean.
LEAST_DEVIATION = 1e-3


class Check(Strict):
    """A check that the data passed.

    Attributes:
        name: The name of the check.
        found: Its result, for people.
    """

    name: str
    found: str


class _Info(JsonFile):
    """The attributes of both kinds of data set.

    Attributes:
        name: The data set's name in the experiment.
        source: The name of its source.
        records: The number of stored records of each split: images, or rows of a series.
        mean: The mean of each channel or column over the training split.
        std: The standard deviation of each channel or column over the training split; 1 where it would be 0.
        sha256: The digest of all records, in their order.
        checks: The checks that passed.
    """

    FILE = "dataset.json"
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
        classes: The names of the labels, in the labels' order.
        shape: The height, width and number of channels of an image.
        label_counts: The number of images of each label, for each split.
        resized: Whether the images were resized to `shape`.
        named: Whether each record has the name of its file, which `components.data.storage.load_names` reads.
    """

    task: Literal["classification"] = "classification"
    classes: list[str]
    shape: list[int] = Field(min_length=3, max_length=3)
    label_counts: dict[str, list[int]]
    resized: bool = False
    named: bool = False

    @property
    def outputs(self) -> list[str]:
        """The names of a model's outputs."""
        return ["probabilities"]

    @property
    def block(self) -> int:
        """The number of neighbouring examples that the bootstrap draws together."""
        return 1

    def examples(self, split: str) -> int:
        """The number of examples in `split`."""
        return self.records[split]


class SeriesInfo(_Info, CsvFormat):
    """A time series. It is cut into windows when it is read.

    Attributes:
        stored: The names of a stored row's values. `mean` and `std` are in this order.
        columns: The first of these names, whose values a model sees of past rows. The first column is the target.
        known: The names of the values that are known in the future, the calendar's included.
        frequency: The time between two rows, in the notation of `components.readers.time_axis.Frequency`.
        unit: The target's unit.
        lookback: The number of rows that a model sees before the first one that it forecasts.
        horizon: The number of rows that it forecasts.
        seasonal_error: The mean absolute difference of two targets one season apart, over the training split. It is
            the scale of MASE (Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001).
        filled: The number of filled values of each column.
        quantiles: The quantiles that a model forecasts; empty where it has none, and where no model is described.
        static: The columns that have one value in each of many series.
        scaling: "window": a model scales the target by the mean and the standard deviation of the window that it sees.
            "shared": by `mean` and `std`, as it scales the other columns.
        windows: For many series, the number of windows of each split. `series` is the column of their names, their
            table is `components.artifacts.series_table`, and `seasonal_error` is the mean over all of them.
        times: The times of the first and of the last row of each split, ISO 8601; empty in an older file.
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
    quantiles: Quantiles = []
    static: list[str] = []
    scaling: Scaling = "shared"
    windows: dict[str, int] = {}
    times: dict[str, list[str]] = {}

    @property
    def outputs(self) -> list[str]:
        """The names of a model's outputs: "forecast", or for each quantile such as "forecast_p10", in their order."""
        names = [f"forecast_p{100 * quantile:g}".replace(".", "_") for quantile in self.quantiles]
        return [name if name != "forecast_p50" else "forecast" for name in names] or ["forecast"]

    @property
    def block(self) -> int:
        """The number of neighbouring windows that the bootstrap draws together.

        Windows overlap and resemble each other. Drawn one by one, they would give intervals that are far too narrow
        (moving blocks, Künsch 1989, doi:10.1214/aos/1176347265).
        """
        return 2 * self.horizon

    def examples(self, split: str) -> int:
        """The number of windows that lie wholly in `split`. One begins at every row."""
        if self.series:
            return self.windows[split]
        return max(0, self.records[split] - self.lookback - self.horizon + 1)

    def season(self) -> int:
        """The length of the shortest season, in rows."""
        return Frequency(self.frequency).season()

    def calendar(self) -> list[str]:
        """The names of the calendar's cycles among the stored values, such as "hour".

        Source: `components.readers.time_axis.calendar_values` computes the values.
        """
        return [name.removesuffix("_sin") for name in self.stored[len(self.columns) :: 2]]

    def known_places(self) -> list[int]:
        """The positions in a stored row of the values that are known in the future."""
        return [self.stored.index(name) for name in self.known]


DatasetInfo = ImagesInfo | SeriesInfo
_ADAPTER: TypeAdapter[DatasetInfo] = TypeAdapter(DatasetInfo)


def load_info(folder: Path | str) -> DatasetInfo:
    """Read the `dataset.json` of a folder.

    Raises:
        InputError: The folder has no such file, or one of another version.
    """
    return read_checked(
        Path(folder) / _Info.FILE, _ADAPTER, "a data set's description", "expected a folder that ingest wrote"
    )
