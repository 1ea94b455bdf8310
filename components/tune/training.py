"""The training of a trial."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Training:
    """The training of a trial.

    Attributes:
        number: The trial's number.
        values: The trial's values, by key.
        folder: The folder of its log, its model and, once it has ended, its outcome.
        arguments: The arguments of `components.train.train.train`, JSON values.
    """

    number: int
    values: dict[str, object]
    folder: Path
    arguments: dict[str, object]

    @property
    def log(self) -> Path:
        """The file of what it printed, where it was trained on this machine."""
        return self.folder / "log.txt"

    @property
    def model(self) -> Path:
        """The model's folder."""
        return self.folder / "model"

    @property
    def outcome(self) -> Path:
        """The file of how it ended."""
        return self.folder / "outcome.json"
