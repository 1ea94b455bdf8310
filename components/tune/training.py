"""A training of a search that is still to be done."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Training:
    """What has to be trained for a trial.

    Attributes:
        number: Of the trial.
        values: Of the trial, by key.
        folder: For its log, its model and, once it is over, its outcome.
        arguments: Of `components.train.train.train`, JSON values.
    """

    number: int
    values: dict[str, object]
    folder: Path
    arguments: dict[str, object]

    @property
    def log(self) -> Path:
        """What it printed, where it was trained on this machine."""
        return self.folder / "log.txt"

    @property
    def model(self) -> Path:
        """The model folder that it writes."""
        return self.folder / "model"

    @property
    def outcome(self) -> Path:
        """The file of how it ended."""
        return self.folder / "outcome.json"
