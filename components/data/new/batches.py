"""Load new examples, in batches."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from components.artifacts.dataset import DatasetInfo, ImagesInfo
from components.common.errors import InputError
from components.data.new.example import Example, Failure

EXAMPLES = 256
# The most bytes of a batch's inputs.
BYTES = 64 << 20


@dataclass(frozen=True)
class Batch:
    """Examples that were read one after the other.

    Attributes:
        examples: The examples that could be loaded.
        inputs: The model's inputs by name, with a batch axis; empty where there are no examples.
        failures: The examples that couldn't be read or loaded.
    """

    examples: list[Example]
    inputs: dict[str, np.ndarray]
    failures: list[Failure]


def load_batches(examples: Iterable[Example | Failure], info: DatasetInfo) -> Iterator[Batch]:
    """Load examples in threads, a batch at a time. Each batch but the last stands for the same number of examples."""
    shape = info.shape if isinstance(info, ImagesInfo) else [4, info.lookback + info.horizon, len(info.stored)]
    size = max(1, min(EXAMPLES, BYTES // int(np.prod(shape))))
    remaining = iter(examples)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(remaining, size)):
            loaded = list(zip(chunk, pool.map(_load, chunk), strict=True))
            good = [(example, inputs) for example, inputs in loaded if isinstance(inputs, dict)]
            names = good[0][1] if good else ()
            yield Batch(
                examples=[example for example, _ in good if isinstance(example, Example)],
                inputs={name: np.stack([inputs[name] for _, inputs in good]) for name in names},
                failures=[failure for _, failure in loaded if isinstance(failure, Failure)],
            )


def _load(example: Example | Failure) -> dict[str, np.ndarray] | Failure:
    if isinstance(example, Failure):
        return example
    try:
        return example.load()
    except InputError as error:
        return Failure(example.id, str(error))
