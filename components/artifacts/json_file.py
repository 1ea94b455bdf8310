"""What the files in JSON have in common that one step writes and another reads."""

from pathlib import Path
from typing import ClassVar, Self

from components.common.files import write_text
from components.common.spec import Strict


class JsonFile(Strict):
    """The content of a JSON file.

    Attributes:
        FILE: The file's name in its folder.
        INDENT: The spaces of a level; None for one line.
    """

    FILE: ClassVar[str]
    INDENT: ClassVar[int | None] = 2

    def save(self, folder: Path) -> None:
        """Write the file into a folder."""
        write_text(folder / self.FILE, self.model_dump_json(indent=self.INDENT) + "\n")

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read the file of a folder.

        Raises:
            FileNotFoundError: The folder has no such file.
        """
        return cls.model_validate_json((Path(folder) / cls.FILE).read_text(encoding="utf-8"))
