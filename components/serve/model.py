"""An exported model in ONNX Runtime, which checks requests and predicts them."""

import base64
import binascii
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from pydantic_core import from_json

from components.artifacts.export import ONNX, Exported, Golden, Predictions, as_predictions
from components.common.errors import InputError, one_line
from components.readers import pictures

# A larger batch needs more memory and is no faster. For 32 images of 224 x 224, a layer's outputs take 200 MB.
MAX_BATCH = 32
# The allowed difference from the golden predictions, relative to the largest of them. TensorFlow computed those, maybe
# on another processor.
TOLERANCE = 1e-3
_TYPES: dict[str, type[np.generic]] = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
_PICTURE_AXES = 3

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Attributes:
        name: The input's name: "image", "window" or "future".
        dtype: The type, uint8 or float32.
        shape: The shape of one example.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


class Model:
    """An exported model.

    Args:
        folder: The folder that export wrote, or that of a registered version.

    Attributes:
        inputs: The model's inputs by name.

    Raises:
        InputError: The folder has no ONNX model, or the model can't be loaded.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / ONNX).is_file():
            raise InputError(_why_missing(folder))
        options = onnxruntime.SessionOptions()
        # By default ONNX Runtime's threads spin while they wait, and slow down the thread that reads requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / ONNX), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            raise InputError(f"{folder / ONNX}: can't be loaded: {one_line(error)[:200]}") from None
        self.inputs = {
            argument.name: Input(argument.name, np.dtype(_TYPES[argument.type]), tuple(argument.shape[1:]))
            for argument in self._session.get_inputs()
        }
        self._outputs = [output.name for output in self._session.get_outputs()]
        path = folder / "dataset.json"
        dataset = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self._resizes = dataset.get("resized", False)

    def parse(self, body: bytes) -> Batch:
        """Read the inputs of a request, which has TensorFlow Serving's form `{"instances": [{"image": …}, …]}`.

        Where a model has one input, an instance may be that input's value. An image may be `{"b64": …}`, a PNG or JPEG
        file in Base64, which is read as the training images were.

        Returns:
            An array for each input by name, [instances, *shape], of the input's type.

        Raises:
            InputError: The request is malformed. The message gives the reason in one sentence.
        """
        try:
            content = from_json(body)
        except ValueError as error:
            raise InputError(f"The request is not JSON: {error}.") from None
        instances = content.get("instances") if isinstance(content, dict) else None
        if not isinstance(instances, list) or not instances:
            raise InputError('Expected {"instances": [...]} with one instance at least.')
        if len(self.inputs) == 1:
            (name,) = self.inputs
            instances = [{name: i} if not isinstance(i, dict) or i.keys() == {"b64"} else i for i in instances]
        for i, instance in enumerate(instances):
            if not isinstance(instance, dict) or instance.keys() != self.inputs.keys():
                got = ", ".join(map(str, instance)) if isinstance(instance, dict) else type(instance).__name__
                raise InputError(f"Instance {i} has {got or 'no inputs'}, expected {', '.join(self.inputs)}.")
        # NumPy takes true beside a number as 1. A look at each value takes long, and few requests need it.
        switches = b"true" in body or b"false" in body
        return {name: self._array(one, [i[name] for i in instances], switches) for name, one in self.inputs.items()}

    def run(self, batch: Batch) -> np.ndarray:
        """Predict a batch of any size.

        Returns:
            The predictions, float32 [batch, classes] or [batch, horizon], or of several outputs [batch, horizon,
            outputs].
        """
        size = len(next(iter(batch.values())))
        answers = [
            self._session.run(None, {name: values[i : i + MAX_BATCH] for name, values in batch.items()})
            for i in range(0, size, MAX_BATCH)
        ]
        outputs = [np.concatenate(parts) for parts in zip(*answers, strict=True)]
        return np.stack(outputs, axis=-1) if len(outputs) > 1 else outputs[0]

    def answer(self, predictions: np.ndarray) -> Predictions:
        """The answer to a request: for each instance a list of numbers, or of several outputs lists by name."""
        return as_predictions(predictions, self._outputs)

    def _array(self, expected: Input, values: list[object], switches: bool) -> np.ndarray:
        name = expected.name
        if expected.dtype == np.uint8 and len(expected.shape) == _PICTURE_AXES:
            values = [self._picture(expected, i, v) if isinstance(v, dict) else v for i, v in enumerate(values)]
        array = _as_array(values)
        if array is None or array.shape[1:] != expected.shape:
            for i, value in enumerate(values):
                instance = _as_array(value)
                if instance is None or instance.shape != expected.shape:
                    got = "rows of several lengths" if instance is None else f"the shape {list(instance.shape)}"
                    got = got if isinstance(value, list) else "another form"
                    raise InputError(f"Instance {i} has {name} of {got}, expected {list(expected.shape)}.")
        assert array is not None  # noqa: S101 (instances of one shape are an array)
        whole = expected.dtype == np.uint8
        if array.dtype.kind not in ("iu" if whole else "iuf") or (switches and any(map(_has_switch, values))):
            raise InputError(f"The values of {name} are not all {'whole ' if whole else ''}numbers.")
        if whole and (array.min() < 0 or array.max() > 255):
            raise InputError(f"The values of {name} are not all from 0 to 255.")
        with np.errstate(over="ignore"):
            cast = array.astype(expected.dtype)
        if not whole and not (finite := np.isfinite(cast)).all():
            raise InputError(f"Instance {np.argwhere(~finite)[0][0]} has {name} of values that are not all finite.")
        return cast

    def _picture(self, expected: Input, i: int, value: dict[str, object]) -> np.ndarray:
        height, width, channels = expected.shape
        name, data = expected.name, value.get("b64")
        if value.keys() != {"b64"} or not isinstance(data, str):
            raise InputError(f'Instance {i} has {name} of another form, expected numbers or {{"b64": ...}}.')
        try:
            file = BytesIO(base64.b64decode(data, validate=True))
            picture = pictures.read(file, channels, (height, width) if self._resizes else None)
        except (binascii.Error, InputError) as error:
            raise InputError(f"Instance {i} has {name} that can't be read: {error}.") from None
        if picture.size != (width, height):
            size = f"{picture.height} x {picture.width}"
            raise InputError(f"Instance {i} has {name} of {size}, expected {height} x {width}.")
        return np.asarray(picture, np.uint8).reshape(expected.shape)


def load_checked(folder: Path) -> Model:
    """Load a model, and let it answer the golden request as if a client had sent it.

    Raises:
        InputError: The model can't be loaded, or its predictions differ from the golden ones.
    """
    model = Model(folder)
    golden = Golden.load(folder)
    request = json.dumps({"instances": golden.instances}).encode()
    try:
        predictions = model.answer(model.run(model.parse(request)))
    except InputError as error:
        raise InputError(f"{folder / Golden.FILE}: {error}") from None
    if not golden.agrees(predictions, TOLERANCE):
        raise InputError(f"{folder}: answers the golden request with {str(predictions)[:200]}")
    return model


def _as_array(values: object) -> np.ndarray | None:
    """Values from JSON as an array; None where rows have several lengths."""
    try:
        return np.array(values)
    except ValueError:
        return None


def _has_switch(value: object) -> bool:
    """Whether true or false is among values from JSON."""
    return any(map(_has_switch, value)) if isinstance(value, list) else isinstance(value, bool)


def _why_missing(folder: Path) -> str:
    try:
        onnx = Exported.load(folder).formats.get("onnx")
    except FileNotFoundError:
        return f"{folder}: no {ONNX} in it, expected a model's folder such as runs/registry/…/current"
    reason = f"it was refused, {onnx.refused}" if onnx else "add onnx to formats of the experiment"
    return f"{folder}: no {ONNX} in it: {reason}"
