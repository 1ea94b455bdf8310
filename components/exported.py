"""The folder that export writes, as the steps after it read it."""

from pathlib import Path

from components.spec import Strict

FILE = "export.json"
SAVED_MODEL = "saved_model"
GOLDEN = "golden.json"


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


class Golden(Strict):
    """A request that a served model has to answer as recorded.

    Attributes:
        instances: Inputs by name, one entry for each example, as TensorFlow Serving's REST API takes them.
        predictions: Its answers: a list of numbers for each example.
    """

    instances: list[dict[str, list[object]]]
    predictions: list[list[float]]

    def agrees(self, predictions: object, tolerance: float) -> bool:
        """Whether a server's predictions are the recorded ones.

        Args:
            predictions: A list for each example; or what a server that names its outputs sends, a dictionary with
                one list in it.
            tolerance: Largest difference, relative to the largest recorded number.
        """
        if not isinstance(predictions, list) or len(predictions) != len(self.predictions):
            return False
        largest = max(1.0, max(abs(value) for row in self.predictions for value in row))
        for got, expected in zip(predictions, self.predictions, strict=True):
            values = next(iter(got.values()), None) if isinstance(got, dict) and len(got) == 1 else got
            if not isinstance(values, list) or len(values) != len(expected):
                return False
            if not all(isinstance(v, int | float) for v in values):
                return False
            # A NaN is no smaller than anything.
            if not all(abs(v - e) <= tolerance * largest for v, e in zip(values, expected, strict=True)):
                return False
        return True


def load_golden(folder: Path | str) -> Golden:
    """Read the golden request of an export folder."""
    return Golden.model_validate_json((Path(folder) / GOLDEN).read_text())
