"""Compare the winner of a run with the current version, on the same test examples."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.artifacts.dataset import DatasetInfo, SeriesInfo, load_info
from components.artifacts.evaluation import load_places, load_predictions
from components.artifacts.export import SAVED_MODEL
from components.artifacts.leaderboard import Leaderboard, ModelEntry, figure
from components.artifacts.registration import Action, Registered
from components.common.errors import InputError, one_line
from components.metrics.bootstrap import differences, errors
from components.metrics.metrics import METRICS
from components.models.fresh.process import run_task, start

# The file in a version's folder with the error of each test example, float64 [examples].
ERRORS = "test_errors.npy"
BATCH = 256
# The most bytes of examples that a process gets at a time.
PART_BYTES = 256 << 20
# The attributes that a model's inputs and outputs depend on. Where two data sets differ in one of them, a model of one
# can't answer the other.
_FORM = ("task", "classes", "shape", "stored", "columns", "known", "frequency", "lookback", "horizon", "unit", "series")


@dataclass(frozen=True)
class Winner:
    """The best model of a data set in a run, which may be registered.

    Attributes:
        board: The leaderboard. Its `run` is the run that registers.
        entry: The model's entry.
        data: The data set's folder.
        evaluation: The folder of the model's evaluation.
        export: The folder of the model's export.
        promote: Whether it replaces the current version even where the two can't be told apart.
    """

    board: Leaderboard
    entry: ModelEntry
    data: str
    evaluation: str
    export: Path
    promote: bool

    def result(self, action: Action, sentence: str, version: str | None = None, path: str | None = None) -> Registered:
        """The result of register for the model's data set."""
        dataset = self.entry.dataset
        return Registered(dataset=dataset, action=action, version=version, path=path, sentence=f"{dataset}: {sentence}")

    def figure(self) -> str:
        """The metric that ranks it, as text."""
        dataset = self.board.datasets[self.entry.dataset]
        metric = METRICS[dataset.task][0].name
        return f"{metric} {figure(self.entry.metrics[metric])} {dataset.unit}".strip()


@dataclass(frozen=True)
class Outcome:
    """The result of a comparison with the current version.

    Attributes:
        replaces: Whether the winner becomes the current version: the 95 % interval of the difference, by the paired
            bootstrap, is on its side. With `promote`, the interval may hold zero, or a comparison be impossible.
        sentence: Both metrics, or the reason why a comparison is impossible.
    """

    replaces: bool
    sentence: str


def challenge(winner: Winner, standing: Path, version: str) -> Outcome:
    """Compare the winner of a run with the current version.

    A version that was registered with the errors of the same test examples is compared by these. Otherwise its
    SavedModel first answers the new test split, in a process that can't import this project.

    Args:
        winner: The winner.
        standing: The folder of the current version: an export folder, or a copy of one with `ERRORS` in it.
        version: The version's name, for the sentence.
    """
    info, model = load_info(winner.data), winner.entry.model
    ours = errors(*load_predictions(winner.evaluation))
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
        return incomparable(winner, version, one_line(error))
    places = load_places(winner.evaluation)
    intervals = differences({"standing": theirs, "winner": ours}, winner.board.seed or 0, info.block, places)
    low, high = intervals["standing", "winner"]
    # A model whose output is NaN is worse than any other.
    better = high < 0 or not np.isfinite(theirs).all()
    tie = not better and low <= 0
    replaces = better or (tie and winner.promote)
    figures = f"{_figure(theirs, info)} against {_figure(ours, info)} of {model}"
    if replaces:
        figures = f"{_figure(ours, info)} against {_figure(theirs, info)} of version {version}"
    scored = "" if known else f" (version {version} answered these test examples now)"
    unclear = ", no clear difference" if tie else ""
    hint = f"; --promote registers {model}" if tie and not replaces else ""
    return Outcome(replaces, f"{METRICS[info.task][0].name} {figures}{scored}{unclear}{hint}")


def incomparable(winner: Winner, version: str, why: str) -> Outcome:
    """The result where a comparison with the current version is impossible."""
    model = winner.entry.model
    if winner.promote:
        return Outcome(True, f"version {version} can't be compared with it, {why}")
    return Outcome(False, f"it can't be compared with {model}, {why}; --promote registers {model}")


def score(saved_model: Path, dataset: str, info: DatasetInfo) -> np.ndarray:
    """Compute the error of each test example of a SavedModel, which runs in a process that can't import this project.

    Args:
        saved_model: The SavedModel's folder.
        dataset: The folder of the data set whose test split is used.
        info: The description of the data set.

    Returns:
        The errors, float64 [examples], as `components.metrics.bootstrap.errors` computes them.

    Raises:
        RuntimeError: The SavedModel can't be loaded, or it refuses the examples.
        InputError: The test split isn't whole.
    """
    if not saved_model.is_dir():
        raise RuntimeError(f"{saved_model}: no such folder")
    parts = []
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / "inputs.npz"
        for sizes, examples, target in _parts(dataset, info):
            with start(SAVED_MODEL) as process:
                np.savez(inputs, **examples)  # type: ignore[arg-type]  # the stub mistakes them for allow_pickle
                outputs, _ = run_task(process, saved_model, inputs, sizes)
            parts.append(errors(target, outputs))
    return np.concatenate(parts)


def _parts(dataset: str, info: DatasetInfo) -> Iterator[tuple[list[int], dict[str, np.ndarray], np.ndarray]]:
    """Read the test split in parts of about `PART_BYTES`: the sizes of the batches, the inputs by name, the targets."""
    from components.data import input_pipeline  # TensorFlow

    batches: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    for examples, target in input_pipeline.sequential_batches(dataset, info, "test", BATCH).as_numpy_iterator():
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


def _figure(errors: np.ndarray, info: DatasetInfo) -> str:
    """The metric that ranks models, as text, from the errors of all examples."""
    mean = float(errors.mean())
    return f"{figure(mean)} {info.unit}".strip() if isinstance(info, SeriesInfo) else figure(1 - mean)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"
