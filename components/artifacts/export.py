"""The folder that export writes.

export.json        an `Exported`
model.keras        the model for Keras
saved_model/       the model for TensorFlow Serving
model.onnx, model.tflite, model_int8.tflite    the formats that the experiment names
golden.json        a `Golden` request
dataset.json       a copy of the data set's description
reference.json     a `TrainingProfile`
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.artifacts.json_file import JsonFile
from components.common.files import folder_digest
from components.common.spec import Strict
from components.common.words import counted

if TYPE_CHECKING:
    import numpy as np

SAVED_MODEL = "saved_model"
ONNX = "model.onnx"

# The formats that a model is exported to only where the experiment names them.
OptionalFormat = Literal["litert", "litert_int8", "onnx"]


class Quality(Strict):
    """The metric of a quantized model, beside the metric of the unquantized model on the same examples.

    Attributes:
        metric: "accuracy", or "mae" in the target's unit.
        quantized: The metric of the quantized model.
        model: The metric of the unquantized model.
        test_examples: The number of examples that both were measured on: the first ones of the test split.
    """

    metric: Literal["accuracy", "mae"]
    quantized: float
    model: float
    test_examples: int

    def __str__(self) -> str:
        """Such as "accuracy 0.8921, the model's 0.8938, 10,000 test examples"."""
        examples = counted(self.test_examples, "test example")
        return f"{self.metric} {self.quantized:.4f}, the model's {self.model:.4f}, {examples}"


class Format(Strict):
    """A format that a model was exported to. It was measured in a fresh process that has only the format's runtime.

    Attributes:
        path: The path of its file or folder, relative to the export folder; None where it was refused.
        bytes: The size of its files.
        max_abs_difference: The largest difference from the Keras model's output, in the output's unit.
        agreement: The share of the examples for which it predicts the Keras model's class; classification only.
        batch: The only batch size that it takes; None where it takes any.
        batch_1_median_ms: The median time of one example in milliseconds, on the machine that exported it. None for
            "keras", which evaluate measures.
        batch_1_p95_ms: The 95th percentile of the time of one example.
        batch_32_median_ms: The median time of 32 examples, one by one where `batch` is 1.
        batch_32_p95_ms: The 95th percentile of the time of 32 examples.
        left_in_float: The operations of a quantized format that compute in float32; None for other formats.
        quality: The metric of a quantized format beside the model's; None for other formats.
        refused: The reason why it couldn't be exported; None where it could.
    """

    path: str | None = None
    bytes: int | None = None
    max_abs_difference: float | None = None
    agreement: float | None = None
    batch: int | None = None
    batch_1_median_ms: float | None = None
    batch_1_p95_ms: float | None = None
    batch_32_median_ms: float | None = None
    batch_32_p95_ms: float | None = None
    left_in_float: list[str] | None = None
    quality: Quality | None = None
    refused: str | None = None

    def notes(self) -> list[str]:
        """The limits of this format, for people."""
        batch = ["takes one example at a time"] if self.batch == 1 else []
        floats = [f"in float: {', '.join(self.left_in_float)}"] if self.left_in_float else []
        return [*batch, *floats, *([str(self.quality)] if self.quality else [])]


class Blessing(Strict):
    """The result of serving the SavedModel in a process that has TensorFlow and nothing of this project.

    Attributes:
        saved_model_sha256: The digest of the SavedModel's files.
        faults: A phrase for each golden request that was answered wrongly, and for each malformed request that was
            answered at all. A model without faults may be registered.
    """

    saved_model_sha256: str
    faults: list[str]


class Exported(JsonFile):
    """The content of `export.json`: a model's formats.

    Attributes:
        model: The model's name.
        formats: The formats by name: "keras", "saved_model", and the `OptionalFormat`s that the experiment names.
        blessing: The result of serving the SavedModel; None where it wasn't served.
    """

    FILE = "export.json"
    model: str
    formats: dict[str, Format]
    blessing: Blessing | None = None


# What a server answers: TensorFlow Serving names outputs where a model has several.
Predictions = list[list[float]] | list[dict[str, list[float]]]


def as_predictions(outputs: "np.ndarray", names: list[str]) -> Predictions:
    """Outputs as TensorFlow Serving answers.

    Args:
        outputs: float [examples, …], or of several outputs [examples, …, outputs].
        names: The names of the outputs.
    """
    if len(names) == 1:
        return outputs.tolist()
    return [{name: row[..., i].tolist() for i, name in enumerate(names)} for row in outputs]


class Golden(JsonFile):
    """A request, and the answer that a served model has to give.

    Attributes:
        instances: The inputs of each example, by name, as TensorFlow Serving's REST API takes them. A large image is
            `{"b64": …}`, a PNG file in Base64.
        predictions: The answer: for each example a list of numbers, or several lists by the name of the output.
    """

    FILE = "golden.json"
    INDENT = None
    instances: list[dict[str, list[object] | dict[str, str]]]
    predictions: Predictions

    def agrees(self, predictions: object, tolerance: float) -> bool:
        """Whether a server's predictions are the recorded ones.

        Args:
            predictions: A list for each example, or a dictionary with one list in it, from a server that names its
                outputs.
            tolerance: The largest allowed difference, relative to the largest recorded number.
        """
        if not isinstance(predictions, list) or len(predictions) != len(self.predictions):
            return False
        expected = [_by_name(row) for row in self.predictions]
        largest = max(1.0, max(abs(value) for row in expected for values in row.values() for value in values))
        for answer, row in zip(predictions, expected, strict=True):
            named = _by_name(answer)
            if len(row) == len(named) == 1:
                named = dict(zip(row, named.values(), strict=True))
            if named.keys() != row.keys() or not all(
                _close(named[name], row[name], tolerance * largest) for name in row
            ):
                return False
        return True


def _by_name(answer: Any) -> dict[str, Any]:  # noqa: ANN401
    """An answer's lists by the name of the output; "" where the server names none."""
    return answer if isinstance(answer, dict) else {"": answer}


def _close(values: object, expected: list[float], allowed: float) -> bool:
    if not isinstance(values, list) or len(values) != len(expected):
        return False
    # `not all(… <=)` refuses NaN as well, which is smaller than nothing.
    return all(isinstance(v, int | float) and abs(v - e) <= allowed for v, e in zip(values, expected, strict=True))


def why_not_blessed(folder: Path) -> str | None:
    """The reason why the model of an export folder may not be registered; None where it may."""
    blessing = Exported.load(folder).blessing
    if blessing is None:
        return "nobody has tried to serve it"
    if blessing.faults:
        return f"its SavedModel {', '.join(blessing.faults)}"
    if blessing.saved_model_sha256 != folder_digest(folder / SAVED_MODEL):
        return "its SavedModel isn't the one that was tried"
    return None
