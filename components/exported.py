"""The folder that export writes, as the steps after it read it."""

from components.spec import Strict

FILE = "export.json"


class Format(Strict):
    """A format that a model was exported to.

    Attributes:
        path: Relative to the export folder.
        bytes: Size of its files.
        max_abs_difference: Largest difference from the model's own output, in the output's unit.
    """

    path: str
    bytes: int
    max_abs_difference: float


class Exported(Strict):
    """A model's formats.

    Attributes:
        model: The model's name.
        formats: By name: "keras", "saved_model".
    """

    model: str
    formats: dict[str, Format]
