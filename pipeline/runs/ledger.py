"""`runs/test-reads.jsonl`: every evaluation of a model on a test split, one a line.

A test split that was looked at often is worn: whoever keeps the best of many models keeps the luckiest too. Among k
models that are equally good, the best one is expected to seem better than it is by the expected maximum of k standard
normal numbers, times the standard error. With `WORN` models that is 1.97 standard errors, half a 95 % interval. Whoever
changes models after each look can do worse, by up to about sqrt(k / n) for n examples (Blum and Hardt 2015,
arXiv:1502.04585).
"""

import hashlib
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, ValidationError

from components.artifacts.dataset import DatasetInfo, ImagesInfo, load_info
from components.artifacts.evaluation import PREDICTIONS, Evaluation
from components.common.words import counted, now

FILE = "test-reads.jsonl"
# With so many models, luck alone is expected to take the best one out of its 95 % interval.
WORN = 25


class Read(BaseModel):
    """An evaluation on a test split.

    Attributes:
        time: The time, ISO 8601, UTC.
        experiment: The experiment's name.
        run: The run's name.
        dataset: The data set's name.
        model: The model's name.
        split: The digest of the test split, from `split_digest`.
        predictions: The digest of the model's predictions. Two trainings that end with the same weights have the same.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    time: str
    experiment: str
    run: str
    dataset: str
    model: str
    split: str
    predictions: str


def split_digest(evaluation: Path, info: DatasetInfo) -> str:
    """The digest of a test split, 16 hexadecimal digits, from the targets of its examples and the names of its classes.

    Other columns, another calendar or pictures of another size leave it as it is, for the same examples are judged.

    Raises:
        OSError: There are no predictions.
        ValueError: They were damaged.
    """
    classes = info.classes if isinstance(info, ImagesInfo) else []
    return _digest(evaluation, "target", "\0".join([info.task, *classes]))


def prediction_digest(evaluation: Path) -> str:
    """The digest of a model's predictions."""
    return _digest(evaluation, "prediction")


def note(run: Path, evaluation: Path, dataset: Path) -> None:
    """Add a line for an evaluation, by the folders of its run, of itself and of its data set."""
    info = load_info(dataset)
    read = Read(
        time=now(),
        experiment=run.parent.name,
        run=run.name,
        dataset=info.name,
        model=Evaluation.load(evaluation).model,
        split=split_digest(evaluation, info),
        predictions=prediction_digest(evaluation),
    )
    with (run.parent.parent / FILE).open("a+b", buffering=0) as file:
        if end := file.seek(0, os.SEEK_END):
            file.seek(end - 1)
        # A line that a full disk cut off isn't continued. One write, so that lines of runs side by side don't mix.
        cut = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * cut + read.model_dump_json().encode() + b"\n")
        os.fsync(file.fileno())


def reads(runs: Path) -> list[Read]:
    """All that was noted, the oldest first. Lines that no version wrote are left out."""
    try:
        lines = (runs / FILE).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Read.model_validate_json(line))
        except ValidationError:
            continue
    return found


def models_of(noted: Iterable[Read], split: str) -> tuple[int, int]:
    """How often a split was read, and the number of models that differ in their predictions."""
    of_split = [read for read in noted if read.split == split]
    return len(of_split), len({read.predictions for read in of_split})


def luck(models: int) -> float:
    """The expected maximum of so many standard normal numbers (Blom 1958, Statistical Estimates)."""
    return NormalDist().inv_cdf((models - 0.375) / (models + 0.25)) if models > 1 else 0.0


def wear(noted: Iterable[Read], split: str, interval: list[float]) -> list[str]:
    """Sentences on how often a split was read, and on what that can cost.

    Args:
        noted: What `reads` gave.
        split: The digest of the split.
        interval: The 95 % interval of the best model's metric.

    Returns:
        No sentence where nothing was noted, and two where the split is worn.
    """
    times, models = models_of(noted, split)
    if not times:
        return []
    sentences = [f"this test split has been read {counted(times, 'time')} by {counted(models, 'model')}"]
    if models >= WORN and interval[0] < interval[1]:
        flattery = luck(models) * (interval[1] - interval[0]) / (2 * NormalDist().inv_cdf(0.975))
        sentences.append(
            f"the split is worn: of {models} models that are equally good, the best is expected to seem {flattery:.2g} "
            "better than it is; only new test data can tell"
        )
    return sentences


def _digest(evaluation: Path, array: str, also: str = "") -> str:
    """The digest of an array of an evaluation, by its bytes, without a look at it."""
    try:
        with zipfile.ZipFile(evaluation / PREDICTIONS) as saved:
            return hashlib.sha256(also.encode() + saved.read(f"{array}.npy")).hexdigest()[:16]
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{evaluation / PREDICTIONS}: {error}") from None
