"""The folder that export writes.

export.json        an `Exported`
model.keras        for Keras
saved_model/       for TensorFlow Serving
model.onnx, model.tflite, model_int8.tflite    where the experiment asks for them
golden.json        a `Golden` request
dataset.json       a copy of the data set's description
reference.json     a `TrainingProfile`
"""

from pathlib import Path
from typing import Literal

from components.common.files import sha256, write_text
from components.common.spec import Strict
from components.common.words import counted

_EXPORT = "export.json"
SAVED_MODEL = "saved_model"
GOLDEN = "golden.json"
ONNX = "model.onnx"

# What a model is exported to where the experiment asks for it.
OptionalFormat = Literal["litert", "litert_int8", "onnx"]


class Quality(Strict):
    """The metric that a quantized model is held to, beside the model's own on the same examples.

    Attributes:
        metric: "accuracy", or "mae" in the target's unit.
        quantized: Of the quantized model.
        model: Of the model that it was made of.
        test_examples: How many examples of the test split it is of, from the first.
    """

    metric: Literal["accuracy", "mae"]
    quantized: float
    model: float
    test_examples: int

    def __str__(self) -> str:
        """For people: "accuracy 0.8921, the model's 0.8938, 10,000 test examples"."""
        of = counted(self.test_examples, "test example")
        return f"{self.metric} {self.quantized:.4f}, the model's {self.model:.4f}, {of}"


class Format(Strict):
    """A format that a model was exported to, and how it does in a fresh process that has its runtime alone.

    Attributes:
        path: Relative to the export folder; None where it was refused.
        bytes: Size of its files.
        max_abs_difference: Largest difference from the model's own output, in the output's unit.
        agreement: Share of the examples that it gives the model's class for; classification only.
        batch: The only batch size that it takes; None where it takes any.
        batch_1_median_ms: Milliseconds for one example, on the machine that exported it. None for "keras", which
            evaluate times.
        batch_1_p95_ms: The 95th percentile.
        batch_32_median_ms: For 32 examples; one by one where `batch` is 1.
        batch_32_p95_ms: The 95th percentile.
        left_in_float: Of a quantized format, the operations that compute in float32; None of the others.
        quality: Of a quantized format, what it costs; None of the others.
        refused: Why it isn't there.
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
        """What to know before it is used."""
        one = ["takes one example at a time"] if self.batch == 1 else []
        floats = [f"in float: {', '.join(self.left_in_float)}"] if self.left_in_float else []
        return [*one, *floats, *([str(self.quality)] if self.quality else [])]


class Blessing(Strict):
    """What a process that has TensorFlow and not this project found when it served the SavedModel.

    Attributes:
        saved_model_sha256: Digest of the SavedModel's files.
        faults: Golden requests that it answered wrongly and malformed ones that it answered at all; without any, the
            model may be registered.
    """

    saved_model_sha256: str
    faults: list[str]


class Exported(Strict):
    """A model's formats.

    Attributes:
        model: The model's name.
        formats: By name: "keras", "saved_model", and those of `OptionalFormat` that were asked for.
        blessing: Of the SavedModel; None where nobody has tried to serve it.
    """

    model: str
    formats: dict[str, Format]
    blessing: Blessing | None = None


class Golden(Strict):
    """A request that a served model has to answer as recorded.

    Attributes:
        instances: Inputs by name, one entry for each example, as TensorFlow Serving's REST API takes them; a large
            image as `{"b64": …}`, a PNG file in Base64.
        predictions: Its answers: a list of numbers for each example.
    """

    instances: list[dict[str, list[object] | dict[str, str]]]
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


def save_export(folder: Path, exported: Exported) -> None:
    """Write what a model was exported to."""
    write_text(folder / _EXPORT, exported.model_dump_json(indent=2) + "\n")


def load_export(folder: Path | str) -> Exported:
    """Read what a model was exported to.

    Raises:
        FileNotFoundError: The folder isn't one of export.
    """
    return Exported.model_validate_json((Path(folder) / _EXPORT).read_text(encoding="utf-8"))


def save_golden(folder: Path, golden: Golden) -> None:
    """Write the golden request of an export folder."""
    write_text(folder / GOLDEN, golden.model_dump_json() + "\n")


def load_golden(folder: Path | str) -> Golden:
    """Read the golden request of an export folder."""
    return Golden.model_validate_json((Path(folder) / GOLDEN).read_text(encoding="utf-8"))


def digest(saved_model: Path) -> str:
    """Digest of a SavedModel's files, their names included."""
    return sha256(sorted(p for p in saved_model.rglob("*") if p.is_file()), saved_model)


def why_not_blessed(folder: Path) -> str | None:
    """Why the model of an export folder must not be registered; None where it may."""
    blessing = load_export(folder).blessing
    if blessing is None:
        return "nobody has tried to serve it"
    if blessing.faults:
        return f"its SavedModel {', '.join(blessing.faults)}"
    if blessing.saved_model_sha256 != digest(folder / SAVED_MODEL):
        return "its SavedModel isn't the one that was tried"
    return None
