"""The runs of a folder such as runs/: what each of them left, found by name."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from components.artifacts.dataset import DatasetInfo, load_info
from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.common.errors import InputError
from pipeline.runs import LATEST, REPORT, ledger
from pipeline.runs.lock import under_way
from pipeline.runs.record import FILE as RECORD
from pipeline.runs.record import Record, load_record

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.runs.frames import Model

_LEADERBOARD = "leaderboard.json"
# The names of runs' folders.
NAME = re.compile(r"\d{8}-\d{6}a*")


@dataclass(frozen=True)
class Run:
    """A run on this machine.

    Attributes:
        folder: Its folder, runs/<experiment>/<run>.
        state: "finished", "failed", "stopped", "running", or "no run" of a folder that no run wrote.
        record: How it began and ended; None where an earlier version wrote the run.
        board: Its leaderboard; None where it has none.
        notes: Sentences on what couldn't be read.
    """

    folder: Path
    state: str
    record: Record | None = field(repr=False)
    board: Leaderboard | None = field(repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    @property
    def experiment(self) -> str:
        """The name of its experiment."""
        return self.folder.parent.name

    @property
    def began(self) -> str:
        """The time when it began, to the minute, UTC; where no record says so, the time when it was published."""
        told = self.record.started if self.record else self.board.created if self.board else ""
        return told[:16].replace("T", " ") or _time(self.name)

    @property
    def reasons(self) -> list[str]:
        """Sentences on why it failed or was stopped."""
        failures = self.record.failures if self.record else {}
        if failures or self.state not in ("failed", "stopped"):
            return [f"{task} failed: {reason}" for task, reason in failures.items()]
        if self.state == "failed":
            return ["the reason isn't known; its logs may tell"]
        killed = self.record is None or self.record.state == "running"
        return [
            "it was killed, or the machine went down, before it could write how it ended"
            if killed
            else "Ctrl-C, SIGTERM or SIGHUP stopped it; a new start goes on from the last checkpoint"
        ]

    @property
    def leaderboard(self) -> "pd.DataFrame":
        """A row for each model, see `pipeline.runs.frames.leaderboard`."""
        return _frames().leaderboard(self.board)

    @property
    def history(self) -> "pd.DataFrame":
        """A row for each epoch of each model."""
        return _frames().stacked(self.models, "history")

    @property
    def predictions(self) -> "pd.DataFrame":
        """What each model predicts of each test example, see `pipeline.runs.frames.Model`."""
        return _frames().stacked(self.models, "predictions")

    @property
    def models(self) -> "dict[str, Model]":
        """The models that were finished, by name, the best of each data set first."""
        return _frames().models(self.board, self.folder)

    def _repr_html_(self) -> str:
        about = f"{self.experiment}/{self.name}: {self.state}, began {self.began} UTC, in {self.folder}"
        return _frames().html(about, self.leaderboard)

    def evaluation(self, model: str) -> Path:
        """The folder of a model's evaluation."""
        return self.folder / "models" / model / "evaluation"

    @cached_property
    def splits(self) -> dict[str, str]:
        """The digest of the test split of each data set that has a best model, as the ledger has it."""
        found = {}
        for dataset in self.board.datasets if self.board else ():
            if best := self.board.best(dataset):  # type: ignore[union-attr]
                try:
                    found[dataset] = ledger.split_digest(self.evaluation(best.model), self.info(best))
                except (OSError, InputError, ValueError):
                    continue
        return found

    def info(self, model: ModelEntry) -> DatasetInfo:
        """The description of the data set that a model was trained on."""
        return load_info(self.folder / "models" / model.model)


def _frames() -> Any:  # noqa: ANN401 (a module that imports pandas, which takes longer than a command)
    from pipeline.runs import frames

    return frames


def experiments(runs: Path) -> list[str]:
    """The names of the experiments that have a run."""
    return sorted({path.parent.name for path in runs.glob("*/*") if NAME.fullmatch(path.name) and path.is_dir()})


def runs_of(runs: Path, experiment: str, last: int | None = None) -> list[Run]:
    """The runs of an experiment, the oldest first; only the newest `last` where that is given.

    Raises:
        InputError: There is no such experiment.
    """
    names = experiments(runs)
    if experiment not in names:
        raise InputError(f"{runs}: no runs of '{experiment}'; {near(experiment, names)}")
    found = []
    for folder in list(folders(runs / experiment))[-last if last else 0 :]:
        try:
            found.append(load(folder))
        except InputError as error:
            found.append(Run(folder, "no run", None, None, [str(error)]))
    return found


def find(runs: Path, name: str) -> Run:
    """A run by its name, such as 20261126-184433, quick/20261126-184433, quick/latest, quick, or by its folder.

    Args:
        runs: The folder of all runs.
        name: The name. That of an experiment stands for its latest run, or for its last one where none was published.

    Raises:
        InputError: There is no such run, or several have this name, or the folder isn't a run.
    """
    if (given := Path(name)).is_dir() and given.resolve().parent.parent == runs.resolve():
        return load(runs / given.resolve().parent.name / given.resolve().name)
    experiment, _, run = name.rpartition("/")
    if not experiment and run in experiments(runs):
        experiment, run = run, LATEST
    if run == LATEST and (link := runs / experiment / LATEST).is_dir():
        return load(link.resolve())
    if run == LATEST and experiment in experiments(runs):
        return load(list(folders(runs / experiment))[-1])
    found = [path for path in sorted(runs.glob(f"{experiment or '*'}/*")) if path.name == run and path.is_dir()]
    if len(found) == 1:
        return load(found[0])
    if found:
        raise InputError(f"{name}: {len(found)} runs; name one: {', '.join(f'{p.parent.name}/{run}' for p in found)}")
    every = [f"{one}/{path.name}" for one in experiments(runs) for path in folders(runs / one)]
    raise InputError(f"{runs}: no run '{name}'; {near(name, [*experiments(runs), *every])}")


def load(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        InputError: No run wrote this folder.
    """
    notes: list[str] = []
    record, board = None, None
    try:
        record = load_record(folder)
    except (ValidationError, OSError):
        notes.append(f"{folder / RECORD}: isn't what a run wrote; its config and code aren't known")
    if (folder / _LEADERBOARD).is_file():
        board = _leaderboard(folder, notes)
    if record is None and board is None and not (folder / "logs").is_dir():
        raise InputError(f"{folder}: not a run; expected {RECORD} or {_LEADERBOARD} in it")
    if record is None and not notes:
        notes.append(f"{folder}: an earlier version wrote it; its config and code aren't known")
    return Run(folder, _state(folder, record, board), record, board, notes)


def near(name: str, names: list[str]) -> str:
    """The end of a line about a name that doesn't exist."""
    similar = difflib.get_close_matches(name, names, n=3)
    similar = similar or [one for one in names if name and name in one][:3]
    return f"did you mean {' or '.join(similar)}?" if similar else f"there are: {', '.join(names[:5]) or 'none'}"


def folders(home: Path) -> Iterator[Path]:
    """The folders of an experiment's runs, the oldest first."""
    return (path for path in sorted(home.iterdir()) if NAME.fullmatch(path.name) and path.is_dir())


def _leaderboard(folder: Path, notes: list[str]) -> Leaderboard | None:
    """The leaderboard of a run. Keys of another version are left out, and a note says so."""
    try:
        return Leaderboard.load(folder)
    except ValidationError as error:
        unknown = [problem["loc"] for problem in error.errors() if problem["type"] == "extra_forbidden"]
        if len(unknown) == error.error_count():
            names = ", ".join(sorted({str(loc[-1]) for loc in unknown}))
            notes.append(f"{folder / _LEADERBOARD}: another version wrote it; left out: {names}")
            return Leaderboard.model_validate_json((folder / _LEADERBOARD).read_bytes(), extra="ignore")
    except (OSError, ValueError):
        pass
    notes.append(f"{folder / _LEADERBOARD}: isn't a leaderboard that this version can read")
    return None


def _state(folder: Path, record: Record | None, board: Leaderboard | None) -> str:
    if record is None:
        return "finished" if board else "failed" if (folder / REPORT).exists() else "stopped"
    if record.state != "running":
        return record.state
    # A run that was killed couldn't write how it ended.
    return "running" if under_way(folder.parent) and folder == max(folders(folder.parent)) else "stopped"


def _time(name: str) -> str:
    """The time in a run's name; "" where it is none."""
    try:
        return datetime.strptime(name.rstrip("a"), "%Y%m%d-%H%M%S").strftime("%Y-%m-%d %H:%M")
    except ValueError:  # a folder of another's
        return ""
