"""What reading gives: examples, and what can't be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np


@dataclass(frozen=True)
class Example:
    """An example for a model.

    Attributes:
        id: The file, relative to the folder that is read; with the number of the record (from 0) or the line
            (from 1) where it holds several.
        load: Makes the model's inputs by name, without a batch axis. It raises InputError with the reason where it
            can't, and may be called in any thread.
        times: Of a window, the times of the horizon that follows it.
    """

    id: str
    load: Callable[[], dict[str, np.ndarray]]
    times: Sequence[datetime] = ()


@dataclass(frozen=True)
class Failure:
    """What can't be read.

    Attributes:
        id: As of an example.
        reason: Why, one line.
    """

    id: str
    reason: str
