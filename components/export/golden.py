"""The golden request: test examples, and the model's outputs that a served model has to repeat."""

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image as Pillow

from components.artifacts.export import Golden, as_predictions
from components.readers import pictures

EXAMPLES = 2
# The most values of an image that is written as numbers. Two such images are within Vertex AI's limit of 1.5 MB for a
# request, even in protocol buffers, where a number takes 11 bytes.
MAX_NUMBERS = 60_000
# The height and width that a larger image is reduced to before it is enlarged again, so that its file is small.
DETAIL = 64


def golden_request(
    examples: dict[str, np.ndarray], call: Callable[[dict[str, np.ndarray]], np.ndarray], names: list[str]
) -> Golden:
    """Make the golden request.

    A large image loses its detail, and becomes a PNG file in Base64, `{"b64": …}`, which `components.serve` takes.

    Args:
        examples: The raw inputs by name, [examples, …].
        call: The model, a function that returns float32 [examples, …], or of several outputs [examples, …, outputs].
        names: The names of the outputs.
    """
    inputs = {name: values[:EXAMPLES] for name, values in examples.items()}
    written = {name: values.tolist() for name, values in inputs.items()}
    if "image" in inputs and inputs["image"][0].size > MAX_NUMBERS:
        inputs["image"] = np.stack([_coarse(image) for image in inputs["image"]])
        written["image"] = [_file(image) for image in inputs["image"]]
    instances = [{name: values[i] for name, values in written.items()} for i in range(EXAMPLES)]
    return Golden(instances=instances, predictions=as_predictions(call(inputs).astype(float), names))


def _coarse(image: np.ndarray) -> np.ndarray:
    height, width, _ = image.shape
    small = pictures.from_array(image).resize((min(width, DETAIL), min(height, DETAIL)))
    return np.asarray(small.resize((width, height), Pillow.Resampling.NEAREST)).reshape(image.shape)


def _file(image: np.ndarray) -> dict[str, str]:
    file = io.BytesIO()
    pictures.from_array(image).save(file, "PNG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}
