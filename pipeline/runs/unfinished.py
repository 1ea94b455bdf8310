"""The checkpoints of trainings and searches that didn't finish, which a later run may go on from."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.common.spec import NOT_DETERMINING
from pipeline.graph.code_version import code_files
from pipeline.runs.history import Run

# As components.train.train and components.tune.tune name them, in the folder of processes or that of containers.
_FOLDERS = ".work*/outputs/checkpoints/*-*"
_NAME = re.compile(r"(?P<stem>.+)-[0-9a-f]{16}")
# Keys that weights don't depend on.
_FREE = {"models": NOT_DETERMINING | {"machine"}, "datasets": {"gate", "baselines", "backtest"}}


@dataclass(frozen=True)
class Unfinished:
    """The checkpoints of a training, or what a search has made so far.

    Attributes:
        home: The folder of its experiment.
        folder: Its folder, which is removed when the training finishes.
        written: The time of the last write, to the minute, UTC.
        run: The last run that began before that; None where it is gone.
    """

    home: Path
    folder: Path
    written: str
    run: Run | None

    @property
    def step(self) -> str:
        """The step, "train" or "tune"."""
        return "tune" if self._stem.startswith("tune-") and self._stem not in self._models else "train"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._stem.removeprefix("tune-") if self.step == "tune" else self._stem

    def __str__(self) -> str:
        kind = "search" if self.step == "tune" else "training"
        return f"{self.home.name}: unfinished {kind} of {self.model}, last written {self.written} UTC"

    @property
    def _stem(self) -> str:
        return _NAME.fullmatch(self.folder.name)["stem"]  # type: ignore[index]

    @property
    def _models(self) -> dict[str, Any]:
        return self.run.record.config["models"] if self.run and self.run.record else {}

    def goes_on_in(self, run: Run) -> bool:
        """Whether this run, started again with the code that is here now, would go on from it.

        The name of the folder is a digest of all that determines the weights. TensorFlow's version and the devices are
        a part of it, which only a training knows. So the records of the two runs are compared instead: the seed, the
        model, the options of its data set, and the files of the code that trains.
        """
        if not (self.run and self.run.record and run.record):
            return False
        before, now = self._determining(self.run.record.config), self._determining(run.record.config)
        if before is None or before != now:
            return False
        family = before[1]["family"]
        code = code_files(f"components.{self.step}.component", f"components.families.{family}")
        return all(self.run.record.code.get(name) == digest for name, digest in code.items())

    def _determining(self, config: dict[str, Any]) -> tuple[Any, ...] | None:
        """What the weights depend on, of a run's config; None where it hasn't the model."""
        if self.model not in config["models"]:
            return None
        # A search that asks for other trials takes those that it has, and its trials keep no checkpoints.
        free = _FREE["models"] | ({"tune", "keep_checkpoints"} if self.step == "tune" else set())
        model = {key: value for key, value in config["models"][self.model].items() if key not in free}
        options = config["datasets"][model["dataset"]]
        return config["seed"], model, {key: value for key, value in options.items() if key not in _FREE["datasets"]}


def unfinished(home: Path, runs: list[Run]) -> list[Unfinished]:
    """The checkpoints in an experiment's folder, the oldest first, given its runs, the oldest first."""
    found = []
    for folder in [path for path in home.glob(_FOLDERS) if path.is_dir() and _NAME.fullmatch(path.name)]:
        if times := [status.st_mtime for status in statuses(folder)]:
            written = datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds")
            # To the second, for the next run may begin in the same minute.
            began = ((run, run.record.started if run.record else run.began) for run in reversed(runs))
            run = next((run for run, time in began if time <= written), None)
            found.append(Unfinished(home, folder, written[:16].replace("T", " "), run))
    return sorted(found, key=lambda one: (one.written, one.folder))


def statuses(folder: Path) -> Iterator[os.stat_result]:
    """The status of a folder and of all that is in it. What vanishes meanwhile is left out, as `os.walk` does it."""
    paths = (Path(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in (folder, *paths):
        with suppress(FileNotFoundError):
            yield path.lstat()
