"""The results of reading new data: examples and failures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np


@dataclass(frozen=True)
class Example:
    """An example for a model.

    Attributes:
        id: The file's path in the folder that is read. Where a file has several examples, the number of the record
            (from 0) or the line (from 1) follows.
        load: A function that returns the model's inputs by name, without a batch axis. It may be called in any thread,
            and raises InputError with the reason where the example can't be loaded.
        times: The times of the horizon after a window; empty for images.
        series: The name of a window's series, where the model is one of many series.
    """

    id: str
    load: Callable[[], dict[str, np.ndarray]]
    times: Sequence[datetime] = ()
    series: str = ""


@dataclass(frozen=True)
class Failure:
    """An example that can't be read.

    Attributes:
        id: The id, as of an example.
        reason: The reason, in one line.
    """

    id: str
    reason: str
