"""An exported model in ONNX Runtime: requests are checked and answered."""

import base64
import binascii
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from pydantic_core import from_json

from components.artifacts.export import GOLDEN, ONNX, load_export, load_golden
from components.common.errors import InputError
from components.readers import pictures

# A larger batch needs more memory and is no faster: of pictures of 224 x 224 a layer's outputs are 200 MB.
MAX_BATCH = 32
# The recorded answers are TensorFlow's, maybe of another processor; relative to the largest.
TOLERANCE = 1e-3
_TYPES: dict[str, type] = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
_PICTURE_AXES = 3

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Attributes:
        name: "image", or "window" and "future".
        dtype: uint8 or float32.
        shape: Of one example.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Model:
    """An exported model.

    Args:
        folder: What export wrote, or a registered version.

    Attributes:
        inputs: Its inputs by name.

    Raises:
        InputError: The folder has no ONNX model, or one that can't be loaded.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / ONNX).is_file():
            raise InputError(_why_missing(folder))
        options = onnxruntime.SessionOptions()
        # Threads that wait by spinning take the time of the one that reads and writes requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / ONNX), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            raise InputError(f"{folder / ONNX}: can't be loaded: {' '.join(str(error).split())[:200]}") from None
        self.inputs = {
            given.name: Input(given.name, np.dtype(_TYPES[given.type]), tuple(given.shape[1:]))
            for given in self._session.get_inputs()
        }
        about = folder / "dataset.json"
        described = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
        self._resizes = described.get("resized", False)

    def parse(self, body: bytes) -> Batch:
        """The inputs of a request, TensorFlow Serving's `{"instances": [{"image": …}, …]}`.

        Where a model has one input, an instance may be its value. An image may be `{"b64": …}`, a PNG or JPEG file in
        Base64; it is read as the training's pictures were.

        Returns:
            Arrays by name, [instances, *shape], of the model's types.

        Raises:
            InputError: It is malformed; the reason, in one sentence.
        """
        try:
            content = from_json(body)
        except ValueError as error:
            raise InputError(f"The request is not JSON: {error}.") from None
        instances = content.get("instances") if isinstance(content, dict) else None
        if not isinstance(instances, list) or not instances:
            raise InputError('Expected {"instances": [...]} with one instance at least.')
        if len(self.inputs) == 1:
            (only,) = self.inputs
            instances = [one if isinstance(one, dict) and one.keys() != {"b64"} else {only: one} for one in instances]
        for i, one in enumerate(instances):
            if not isinstance(one, dict) or one.keys() != self.inputs.keys():
                got = ", ".join(map(str, one)) if isinstance(one, dict) else type(one).__name__
                raise InputError(f"Instance {i} has {got or 'no inputs'}, expected {', '.join(self.inputs)}.")
        return {name: self._array(given, [one[name] for one in instances]) for name, given in self.inputs.items()}

    def run(self, batch: Batch) -> np.ndarray:
        """Answer a batch of any size.

        Returns:
            float32 [batch, classes] or [batch, horizon].
        """
        size = len(next(iter(batch.values())))
        return np.concatenate(
            [
                self._session.run(None, {name: values[i : i + MAX_BATCH] for name, values in batch.items()})[0]
                for i in range(0, size, MAX_BATCH)
            ]
        )

    def _array(self, given: Input, values: list[Any]) -> np.ndarray:
        if given.dtype == np.uint8 and len(given.shape) == _PICTURE_AXES:
            values = [self._picture(given, i, v) if isinstance(v, dict) else v for i, v in enumerate(values)]
        found = _as_array(values)
        if found is None or found.shape[1:] != given.shape:
            for i, value in enumerate(values):
                one = _as_array(value)
                if one is None or one.shape != given.shape:
                    got = "rows of several lengths" if one is None else f"the shape {list(one.shape)}"
                    raise InputError(f"Instance {i} has {given.name} of {got}, expected {list(given.shape)}.")
        assert found is not None  # noqa: S101 (what has one shape is an array)
        whole = given.dtype == np.uint8
        if found.dtype.kind not in ("iu" if whole else "iuf"):
            raise InputError(f"The values of {given.name} are not all {'whole ' if whole else ''}numbers.")
        if whole and (found.min() < 0 or found.max() > 255):
            raise InputError(f"The values of {given.name} are not all from 0 to 255.")
        with np.errstate(over="ignore"):
            cast = found.astype(given.dtype)
        if not whole and not np.isfinite(cast).all():
            raise InputError(f"The values of {given.name} are not all finite.")
        return cast

    def _picture(self, given: Input, i: int, value: dict[str, Any]) -> np.ndarray:
        height, width, channels = given.shape
        if value.keys() != {"b64"} or not isinstance(value["b64"], str):
            raise InputError(f'Instance {i} has {given.name} of another form, expected numbers or {{"b64": ...}}.')
        try:
            file = BytesIO(base64.b64decode(value["b64"], validate=True))
            picture = pictures.read(file, channels, (height, width) if self._resizes else None)
        except (binascii.Error, InputError) as error:
            raise InputError(f"Instance {i} has {given.name} that can't be read: {error}.") from None
        if picture.size != (width, height):
            raise InputError(
                f"Instance {i} has {given.name} of {picture.height} x {picture.width}, expected {height} x {width}."
            )
        return np.asarray(picture, np.uint8).reshape(given.shape)


def load_checked(folder: Path) -> Model:
    """Load a model, and let it answer the recorded request as a client's.

    Raises:
        InputError: It can't be loaded, or answers otherwise.
    """
    model = Model(folder)
    golden = load_golden(folder)
    request = json.dumps({"instances": golden.instances}).encode()
    try:
        answers = model.run(model.parse(request)).tolist()
    except InputError as error:
        raise InputError(f"{folder / GOLDEN}: {error}") from None
    if not golden.agrees(answers, TOLERANCE):
        raise InputError(f"{folder}: answers the golden request with {str(answers)[:200]}")
    return model


def _as_array(values: Any) -> np.ndarray | None:  # noqa: ANN401 (of a request)
    """None where rows have several lengths."""
    try:
        return np.array(values)
    except ValueError:
        return None


def _why_missing(folder: Path) -> str:
    try:
        made = load_export(folder).formats.get("onnx")
    except FileNotFoundError:
        return f"{folder}: no {ONNX} in it, expected a model's folder such as runs/registry/…/current"
    reason = f"it was refused, {made.refused}" if made else "add onnx to formats of the experiment"
    return f"{folder}: no {ONNX} in it: {reason}"
