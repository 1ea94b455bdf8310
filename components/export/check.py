"""Prove a format: load it in a fresh process that has its runtime alone, and compare its answers with the model's."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.artifacts.export import Format
from components.models.fresh.process import ask

# Of test examples that differ from each other.
BATCHES = (1, 2, 32)
TIMED = (1, 32)
# Another runtime orders float32 sums otherwise; relative to the largest output. The formats of the shipped models are
# within 2e-6, and a wrong weight isn't.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Examples:
    """Real test examples, and what the model gives for them.

    Attributes:
        inputs: An `.npz` of raw inputs by name, `sum(BATCHES)` of each.
        expected: The model's outputs, float32.
        classes: Whether they are probabilities of classes.
    """

    inputs: Path
    expected: np.ndarray
    classes: bool


def prove(
    process: subprocess.Popen[str], path: Path, examples: Examples, tolerance: float = TOLERANCE, **task: object
) -> tuple[Format, dict[str, Any]]:
    """Use an exported model in a fresh process.

    Args:
        process: What `start` started for the format.
        path: The exported model; the format's `path` is its name.
        examples: What to compare on.
        tolerance: Largest difference, relative to the model's largest output.
        task: More of the task.

    Returns:
        The format, and what the process said.

    Raises:
        RuntimeError: It can't be used, or its answers aren't the model's.
    """
    outputs = examples.inputs.with_name(f"{path.name}.npy")
    said = ask(
        process,
        model=str(path),
        inputs=str(examples.inputs),
        outputs=str(outputs),
        batches=BATCHES,
        timed=TIMED,
        **task,
    )
    got = np.load(outputs, allow_pickle=False)
    if got.shape != examples.expected.shape:
        raise RuntimeError(f"gives {list(got.shape)}, expected {list(examples.expected.shape)}")
    difference = float(np.abs(got - examples.expected).max())
    allowed = tolerance * max(1.0, float(np.abs(examples.expected).max()))
    # A NaN is no smaller than anything.
    if not difference <= allowed:
        raise RuntimeError(f"differs from the model by {difference:.2g}, allowed is {allowed:.2g}")
    same = got.argmax(axis=1) == examples.expected.argmax(axis=1)
    times = {
        f"batch_{size}_{name}_ms": value
        for size, pair in said["milliseconds"].items()
        for name, value in zip(("median", "p95"), pair, strict=True)
    }
    made = Format(
        path=path.name,
        bytes=size_of(path),
        max_abs_difference=difference,
        agreement=float(same.mean()) if examples.classes else None,
        **times,
    )
    return made, said


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
