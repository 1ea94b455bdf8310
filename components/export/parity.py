"""The parity of a format: its outputs, in a fresh process that has only its runtime, are compared with the model's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.artifacts.export import Format
from components.models.fresh.process import Fresh, Result, run_task

# The sizes of the batches that outputs are compared for, each of other test examples, and of those that are timed.
BATCHES = (1, 2, 32)
TIMED = (1, 32)
# The allowed difference, relative to the largest output. Another runtime may add float32 numbers in another order.
# The formats of the shipped models differ by less than 2e-6; a wrong weight makes a larger difference.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Examples:
    """Test examples, and the model's outputs for them.

    Attributes:
        inputs: An `.npz` file with the raw inputs of `sum(BATCHES)` examples, by name.
        expected: The model's outputs, float32; of several, these are along the last axis.
        names: The names of the outputs.
        classes: Whether the outputs are probabilities of classes.
    """

    inputs: Path
    expected: np.ndarray
    names: list[str]
    classes: bool


def compare_outputs(
    process: Fresh, path: Path, examples: Examples, tolerance: float = TOLERANCE, **task: object
) -> tuple[Format, Result]:
    """Run an exported model in a fresh process, and compare its outputs with the model's.

    Args:
        process: The process that `start` started for the format.
        path: The exported model. Its name becomes the format's `path`.
        examples: The examples to compare.
        tolerance: The largest allowed difference, relative to the model's largest output.
        task: Further arguments for the process.

    Returns:
        The format, and the result of the process.

    Raises:
        RuntimeError: The exported model can't be run, or its outputs differ from the model's.
    """
    actual, result = run_task(process, path, examples.inputs, BATCHES, names=examples.names, timed=TIMED, **task)
    if actual.shape != examples.expected.shape:
        raise RuntimeError(f"gives {list(actual.shape)}, expected {list(examples.expected.shape)}")
    difference = float(np.abs(actual - examples.expected).max())
    allowed = tolerance * max(1.0, float(np.abs(examples.expected).max()))
    # `not … <=` refuses NaN as well.
    if not difference <= allowed:
        raise RuntimeError(f"differs from the model by {difference:.2g}, allowed is {allowed:.2g}")
    same_class = actual.argmax(axis=1) == examples.expected.argmax(axis=1)
    times = {
        f"batch_{size}_{name}_ms": value
        for size, pair in result["milliseconds"].items()
        for name, value in zip(("median", "p95"), pair, strict=True)
    }
    parity = Format(
        path=path.name,
        bytes=size_of(path),
        max_abs_difference=difference,
        agreement=float(same_class.mean()) if examples.classes else None,
    )
    return parity.model_copy(update=times), result


def size_of(path: Path) -> int:
    """The size in bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
