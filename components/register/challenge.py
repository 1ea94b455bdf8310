"""Whether the winner of a run is better than the version that stands, on the same test examples."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.artifacts.dataset import DatasetInfo, SeriesInfo, load_info
from components.artifacts.export import SAVED_MODEL
from components.artifacts.leaderboard import RANKED_BY, Leaderboard, ModelEntry, figure
from components.common.errors import InputError
from components.metrics.bootstrap import block_of, differences, errors, errors_of
from components.models.fresh.process import ask, start

# Beside a version's files: the error of each test example that it was registered with, float64 [examples].
ERRORS = "test_errors.npy"
BATCH = 256
# Of raw examples that a process is given at a time.
PART_BYTES = 256 << 20
# What a model takes and gives: where two data sets differ in this, a model of one can't answer the other.
_FORM = ("task", "classes", "shape", "stored", "columns", "known", "frequency", "lookback", "horizon", "unit")


@dataclass(frozen=True)
class Winner:
    """The best model of a data set in a run, which may be registered.

    Attributes:
        board: The leaderboard; its `run` is the one that registers.
        entry: The model's entry.
        data: The data set folder.
        evaluation: Its evaluation folder.
        export: Its export folder.
        promote: Whether it takes the place of a version that it can't be told apart from, too.
    """

    board: Leaderboard
    entry: ModelEntry
    data: str
    evaluation: str
    export: Path
    promote: bool

    def figure(self) -> str:
        """Its figure on the test split, for people."""
        about = self.board.datasets[self.entry.dataset]
        metric, _ = RANKED_BY[about.task]
        return f"{metric} {figure(self.entry.metrics[metric])} {about.unit}".strip()


@dataclass(frozen=True)
class Outcome:
    """A comparison with the version that stands.

    Attributes:
        takes_place: Whether the winner becomes the current version: the 95 % interval of the difference, by the paired
            bootstrap, is on its side. With `promote` where it holds zero, too, or where they can't be compared.
        sentence: Both figures for people, or why they can't be compared.
    """

    takes_place: bool
    sentence: str


def challenge(winner: Winner, standing: Path, version: str) -> Outcome:
    """Compare the winner of a run with the version that stands.

    Where that was registered with the errors of the same test examples, these are what is compared. Otherwise its
    SavedModel answers the new test split first, in a process that can't import this project.

    Args:
        winner: The winner.
        standing: The version's folder: an export folder, or a copy of one with `ERRORS` in it.
        version: Its name, for the sentence.
    """
    info, model = load_info(winner.data), winner.entry.model
    ours = errors_of(winner.evaluation, info)
    try:
        before = load_info(standing)
        for name in _FORM:
            old, new = getattr(before, name, None), getattr(info, name, None)
            if old != new:
                raise InputError(f"its {name}: {_short(old)}, here {_short(new)}")
        if known := before.sha256 == info.sha256 and (standing / ERRORS).is_file():
            theirs = np.load(standing / ERRORS, allow_pickle=False)
        else:
            theirs = score(standing / SAVED_MODEL, winner.data, info)
        if theirs.shape != ours.shape:
            raise InputError(f"it has answers for {len(theirs):,} test examples of {len(ours):,}")
    except (InputError, RuntimeError, OSError, ValueError) as error:
        return unknown(winner, version, " ".join(str(error).split()))
    apart = differences({"standing": theirs, "winner": ours}, winner.board.seed or 0, block_of(info))
    low, high = apart["standing", "winner"]
    # A model that gives NaN is worse than any other.
    better = high < 0 or not np.isfinite(theirs).all()
    tie = not better and low <= 0
    takes_place = better or (tie and winner.promote)
    figures = f"{_figure(theirs, info)} against {_figure(ours, info)} of {model}"
    if takes_place:
        figures = f"{_figure(ours, info)} against {_figure(theirs, info)} of version {version}"
    scored = "" if known else f" (version {version} answered these test examples now)"
    unclear = ", no clear difference" if tie else ""
    ask = f"; --promote registers {model}" if tie and not takes_place else ""
    return Outcome(takes_place, f"{RANKED_BY[info.task][0]} {figures}{scored}{unclear}{ask}")


def unknown(winner: Winner, version: str, why: str) -> Outcome:
    """The outcome where the version that stands can't be compared, for a reason."""
    model = winner.entry.model
    if winner.promote:
        return Outcome(True, f"version {version} can't be compared with it, {why}")
    return Outcome(False, f"it can't be compared with {model}, {why}; --promote registers {model}")


def score(saved_model: Path, dataset: str, info: DatasetInfo) -> np.ndarray:
    """The error of each test example of a SavedModel, asked in a process that can't import this project.

    Args:
        saved_model: Its folder.
        dataset: The data set folder whose test split it answers.
        info: The description of it.

    Returns:
        float64 [examples], see `components.metrics.bootstrap.errors`.

    Raises:
        RuntimeError: It can't be loaded, or refuses the examples.
        InputError: The test split isn't whole.
    """
    if not saved_model.is_dir():
        raise RuntimeError(f"{saved_model}: no such folder")
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for sizes, examples, target in _parts(dataset, info):
            inputs, outputs = Path(scratch) / "inputs.npz", Path(scratch) / "outputs.npy"
            with start(SAVED_MODEL) as process:
                np.savez(inputs, **examples)  # type: ignore[arg-type]  # its stub takes them for allow_pickle
                ask(
                    process,
                    model=str(saved_model.absolute()),
                    inputs=str(inputs),
                    outputs=str(outputs),
                    batches=sizes,
                    timed=[],
                )
            found.append(errors(target, np.load(outputs, allow_pickle=False), info))
    return np.concatenate(found)


def _parts(dataset: str, info: DatasetInfo) -> Iterator[tuple[list[int], dict[str, np.ndarray], np.ndarray]]:
    """The test split in parts of about `PART_BYTES`: sizes of the batches, inputs by name, targets."""
    from components.data import batching  # TensorFlow

    batches: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    for examples, target in batching.sequential_batches(dataset, info, "test", BATCH).as_numpy_iterator():
        batches.append((examples if isinstance(examples, dict) else {"image": examples}, target))
        if sum(value.nbytes for batch, _ in batches for value in batch.values()) >= PART_BYTES:
            yield _joined(batches)
            batches = []
    if batches:
        yield _joined(batches)


def _joined(
    batches: list[tuple[dict[str, np.ndarray], np.ndarray]],
) -> tuple[list[int], dict[str, np.ndarray], np.ndarray]:
    names = batches[0][0]
    examples = {name: np.concatenate([batch[name] for batch, _ in batches]) for name in names}
    return [len(target) for _, target in batches], examples, np.concatenate([target for _, target in batches])


def _figure(wrong: np.ndarray, info: DatasetInfo) -> str:
    """The metric that ranks models, of the errors of all examples."""
    mean = float(wrong.mean())
    return f"{figure(mean)} {info.unit}".strip() if isinstance(info, SeriesInfo) else figure(1 - mean)


def _short(value: Any) -> str:  # noqa: ANN401 (a field of a description)
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"
